"""Vectors: embeddings that the user has made, in .npy, .npz or Parquet files."""

import dataclasses
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gpussl.data import frames, own, table
from gpussl.errors import DataError
from gpussl.protocols import Reader, Source
from gpussl.records import Dataset, OnProgress, Reading
from gpussl.runtime.names import expanded
from gpussl.runtime.params import check

ZIP = b"PK"  # how an .npz file begins
PART = 65_536  # vectors that are read at once


@dataclass(frozen=True)
class VectorReader(Reader):
    """Reads vectors of a known length.

    Attributes
    ----------
    d : int
    id, label, column : str or None
        Columns of a Parquet file, `column` with the vectors.

    Examples
    --------
    >>> (part,) = VectorReader(2).read(np.eye(2))
    >>> part.ids, part.X.tolist()
    (['1', '2'], [[1.0, 0.0], [0.0, 1.0]])
    """

    kind: ClassVar[str] = "vectors"

    d: int
    id: str | None = None
    label: str | None = None
    column: str | None = None

    def read(self, source: Any, on_progress: OnProgress | None = None) -> Iterator[Reading]:
        """See `Reader.read`; the source may be an array, too."""
        for part in read_vectors(source, self.column, self.id, self.label):
            if part.ids and part.X.shape[1] != self.d:
                raise DataError(
                    f"{_named(source)}: expected vectors of {self.d} numbers, as in training, found {part.X.shape[1]}"
                )
            yield part


@dataclass(frozen=True)
class Vectors(Source):
    """Vectors of a person, one for each point.

    Parameters
    ----------
    path : str
        An .npy file with an (n, d) array; an .npz file with one, and perhaps an array `ids`; or a Parquet file with a
        column of lists.
    name : str
    id, label : str, optional
        Columns of a Parquet file.
    strict : bool
        Whether a vector with NaN or infinity is an error.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/a.npy", np.eye(3))
    ...     Vectors(f"{folder}/a.npy").load().X_train.shape
    (3, 3)
    """

    path: str
    name: str = "vectors"
    id: str | None = None
    label: str | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        check(self)

    def load(self) -> Dataset:
        """Read the vectors. DataError if the file is missing or broken, or has no vectors of one length."""
        path = expanded(self.path)
        column, id_ = None, self.id
        if path.suffix.lower() in (".parquet", ".pq"):
            id_ = table.check_columns(path, {"id": self.id, "label": self.label}, None, None)
            column = vector_column(path)
        parts = list(read_vectors(path, column, id_, self.label))
        if not parts:
            raise DataError(f"{self.path}: expected vectors, found none")
        reading = own.joined(parts)
        d = int(reading.X.shape[1])
        note = f"vectors of {d:,} numbers"
        return own.dataset(self.name, VectorReader(d, id_, self.label, column), reading, [note], strict=self.strict)


def vector_column(source: Path) -> str | None:
    """Return the first column of lists of a Parquet file; None if there is none. DataError if it cannot be read.

    >>> import tempfile
    >>> import pyarrow as pa
    >>> from pyarrow import parquet
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     parquet.write_table(pa.table({"id": ["a"], "vector": [[1.0, 2.0]]}), f"{folder}/a.parquet")
    ...     vector_column(Path(folder, "a.parquet"))
    'vector'
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(source)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{source}: expected a Parquet file, found another ({str(error).splitlines()[0]})") from error
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    lists = (field for field in schema if any(is_kind(field.type) for is_kind in kinds))
    return next((field.name for field in lists if _is_number(field.type.value_type)), None)


def read_vectors(source: Any, column: str | None, id_: str | None, label: str | None) -> Iterator[Reading]:
    """Read vectors in parts of bounded size. Those with NaN or infinity are skipped.

    Of a column of lists, the length is that of most in the first part; those of another length are skipped as well.

    Raises
    ------
    DataError
        The file cannot be read, or is no array of numbers.

    Examples
    --------
    >>> [part.skipped for part in read_vectors(np.array([[1.0], [np.nan]]), None, None, None)]
    [[('2', 'NaN or infinity')]]
    """
    n = 0
    if column is not None:
        d = 0
        for part in frames.read_parts(source if frames.is_frame(source) else Path(source)):
            frames.require(column, part.column_names, "vectors", source)
            lists = part.column(column).combine_chunks()
            lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
            d = d or (int(np.bincount(lengths).argmax()) if len(lengths) else 0)
            ids, has_length = table.ids_of(part, id_, n), (lengths == d) & (lengths > 0)
            kept = np.flatnonzero(has_length)
            X = lists.take(kept).flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(kept), -1)
            labels = table.labels_of(part, label)
            found = _finite([ids[row] for row in kept], X, [labels[row] for row in kept] if labels else [])
            others = np.flatnonzero(~has_length).tolist()
            skipped = [(ids[row], f"{lengths[row]} numbers" if lengths[row] else "no vector") for row in others]
            yield dataclasses.replace(found, skipped=[*found.skipped, *skipped])
            n += part.num_rows
        return
    if frames.is_frame(source):
        source = source.to_numpy()
    X, names = (source, None) if isinstance(source, np.ndarray) else _load(Path(source))
    if X.ndim != 2 or X.dtype.kind not in "biuf" or X.shape[1] == 0:
        raise DataError(f"{_named(source)}: expected an array (n, d) of numbers, found shape {X.shape} of {X.dtype}")
    for start in range(0, len(X), PART):
        rows = np.asarray(X[start : start + PART], dtype=np.float32)
        ids = [str(n + 1) for n in range(start, start + len(rows))] if names is None else names[start : start + PART]
        yield _finite(ids, rows, [])


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _load(path: Path) -> tuple[np.ndarray, list[str] | None]:
    cure = "save it with numpy.save(path, numpy.asarray(vectors, dtype='float32'))"
    try:
        with path.open("rb") as file:
            if file.read(2) != ZIP:
                return np.load(path, mmap_mode="r", allow_pickle=False), None
            file.seek(0)
            with np.load(file, allow_pickle=False) as found:
                arrays = {name: found[name] for name in found.files}
    except OSError as error:
        raise DataError(f"{path}: expected a readable file, found: {error.strerror or error}") from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path}: expected an array of numbers, found something else, such as Python objects, which gpussl never "
            f"loads; {cure}"
        ) from error
    X = next((array for array in arrays.values() if array.ndim == 2 and array.dtype.kind in "biuf"), None)
    if X is None:
        raise DataError(f"{path}: expected an array (n, d) of numbers, found {', '.join(arrays) or 'nothing'}; {cure}")
    ids = arrays.get("ids")
    if ids is not None and (ids.ndim != 1 or len(ids) != len(X)):
        raise DataError(f"{path}: expected an id for each of {len(X):,} vectors, found {len(ids):,}")
    return X, None if ids is None else [str(item) for item in ids]


def _finite(ids: list[str], X: np.ndarray, labels: list[str]) -> Reading:
    is_finite = np.isfinite(X).all(axis=1)
    if is_finite.all():
        return Reading(ids, X, labels=labels)
    kept = np.flatnonzero(is_finite).tolist()
    skipped = [(ids[row], "NaN or infinity") for row in np.flatnonzero(~is_finite).tolist()]
    return Reading([ids[row] for row in kept], X[kept], skipped, [labels[row] for row in kept] if labels else [])


def _named(source: Any) -> str:
    return "the array" if isinstance(source, np.ndarray) else str(source)
