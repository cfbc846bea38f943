"""Look at a path, and take it for pictures, a table, texts or vectors."""

import dataclasses
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpussl.data import frames
from gpussl.data.files import files_in, suffix_of
from gpussl.data.images import MAX_PIXELS, OTHERS, ImageFolder
from gpussl.data.table import Table, opened
from gpussl.data.texts import TextFiles
from gpussl.data.vectors import Vectors, vector_column
from gpussl.errors import DataError
from gpussl.protocols import Source
from gpussl.records import Dataset
from gpussl.runtime.names import expanded
from gpussl.runtime.params import check, param

N_LOOKED_AT = 200  # rows that decide whether a table has texts
MIN_WORDS = 5  # of a column of texts, on average
KINDS: dict[str, type] = {"images": ImageFolder, "table": Table, "texts": TextFiles, "vectors": Vectors}


@dataclass(frozen=True)
class Auto(Source):
    """A person's data of any kind. The settings are those of all kinds, and each kind takes its own.

    Parameters
    ----------
    path : str
    name : str
    size, labels, max_pixels, cache
        See `ImageFolder`.
    id, label, drop, delimiter, decimal, encoding
        See `Table`.
    text : str, optional
        The column with the texts: see `TextFiles`.
    strict : bool

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.txt").write_text("a text")
    ...     type(Auto(folder).source()).__name__
    'TextFiles'
    """

    path: str
    name: str = "own"
    size: int | None = param(None, ge=4)
    labels: str = param("none", choices=("none", "folders"))
    max_pixels: int = param(MAX_PIXELS, ge=1)
    cache: str | None = None
    id: str | None = None
    label: str | None = None
    drop: list[str] = param([])
    text: str | None = None
    delimiter: str | None = None
    decimal: str | None = param(None, choices=(".", ","))
    encoding: str | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        check(self)

    def load(self) -> Dataset:
        """Read the data. DataError if they are of no known kind, or the kind refuses them."""
        source = self.source()
        kind = next(name for name, cls in KINDS.items() if isinstance(source, cls))
        data = source.load()
        return dataclasses.replace(
            data, notes=[f"taken as {kind} (data={kind} or another says otherwise)", *data.notes]
        )

    def source(self) -> Any:
        """Return the source of the kind that the path shows."""
        path = expanded(self.path)
        if not path.exists():
            raise DataError(f"{self.path}: expected a folder or a file, found nothing there")
        kind, more = self._kind(path)
        cls = KINDS[kind]
        taken = {item.name: getattr(self, item.name) for item in dataclasses.fields(cls) if hasattr(self, item.name)}
        return cls(**{**taken, **more})

    def _kind(self, path: Path) -> tuple[str, dict[str, Any]]:
        if path.is_dir():
            suffixes = Counter(map(suffix_of, files_in(path)))
            n_pictures = sum(count for suffix, count in suffixes.items() if suffix not in OTHERS)
            if suffixes[".txt"] > n_pictures:
                return "texts", {}
            if n_pictures == 0:
                raise DataError(
                    f"{self.path}: expected pictures or .txt files in the folder, found none; for a table or vectors, "
                    "name the file"
                )
            return "images", {}
        suffix = path.suffix.lower()
        if suffix in (".npy", ".npz"):
            return "vectors", {}
        if suffix in frames.TABLES or suffix == ".txt":
            if self.text is not None:
                return "texts", {}
            if suffix in (".parquet", ".pq") and vector_column(path) is not None:
                return "vectors", {}
            text = self._text_column(path)
            return ("table", {}) if text is None else ("texts", {"text": text})
        if suffix not in OTHERS:
            return "images", {}
        raise DataError(
            f"{self.path}: expected a folder of pictures or .txt files, or a .csv, .tsv, .parquet, .npy or .npz file, "
            f"found {suffix or 'a file without a suffix'}; name its kind with data={', '.join(KINDS)}"
        )

    def _text_column(self, path: Path) -> str | None:
        """The only column whose cells nearly all differ and have several words."""
        source, dialect = opened(path, self.delimiter, self.decimal, self.encoding)
        part = next(iter(frames.read_parts(source, dialect)), None)
        if part is None:
            return None
        found = []
        for name in part.column_names:
            if name in (self.id, self.label, *self.drop):
                continue
            cells = [cell for cell in frames.texts(part.column(name).combine_chunks()[:N_LOOKED_AT]) if cell]
            n_words = sum(len(cell.split()) for cell in cells)
            if cells and len(set(cells)) > 0.9 * len(cells) and n_words >= MIN_WORDS * len(cells):
                found.append(str(name))
        return found[0] if len(found) == 1 else None
