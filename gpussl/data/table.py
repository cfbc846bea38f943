"""Tables: each row is a point, each column a number, a date or a category."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gpussl.data import frames, own
from gpussl.data.frames import Dialect
from gpussl.errors import DataError
from gpussl.protocols import Reader, Source
from gpussl.records import Dataset, OnProgress, Reading
from gpussl.runtime.names import expanded
from gpussl.runtime.params import check, param

if TYPE_CHECKING:
    import pyarrow as pa

MAX_CATEGORIES = 50  # columns of 0 and 1 for one column; the rarer categories count as none of these
MAX_DISTINCT = 0.5  # share of distinct texts beyond which a column is no category but a name or a free text


@dataclass(frozen=True)
class Column:
    """How the cells of a column become features.

    Attributes
    ----------
    name : str
    kind : {"number", "date", "category"}
    mean, deviation : float
        Of numbers, and of dates in days.
    has_gaps : bool
        Whether a gap has a feature of its own.
    categories : tuple of str
        Most frequent first.

    Examples
    --------
    >>> Column("colour", "category", categories=("red", "blue")).n_features
    2
    """

    name: str
    kind: str
    mean: float = 0.0
    deviation: float = 1.0
    has_gaps: bool = False
    categories: tuple[str, ...] = ()

    @property
    def n_features(self) -> int:
        """The number of features."""
        return (len(self.categories) if self.kind == "category" else 1) + self.has_gaps


@dataclass(frozen=True)
class TableReader(Reader):
    """Reads rows with the columns of a table that was seen before.

    Numbers and dates have mean 0 and deviation 1 and are compressed by asinh, so that a few large values do not
    outweigh all others; a gap is the mean. A category is a feature of 0 and 1, and unknown ones are none of them.

    Attributes
    ----------
    columns : tuple of Column
    id, label : str or None
        Names of the columns with ids and classes, if there are any.
    delimiter, decimal, encoding : str or None
        Settings of CSV files; None looks at the file.

    Examples
    --------
    >>> import pandas as pd
    >>> reader = TableReader((Column("size", "number", mean=2.0), Column("colour", "category", categories=("red",))))
    >>> (part,) = reader.read(pd.DataFrame({"colour": ["red", "blue"], "size": [2, None]}))
    >>> part.X.tolist(), part.counts
    ([[0.0, 1.0], [0.0, 0.0]], {'size: gaps filled': 1, 'colour: unknown categories': 1})
    """

    kind: ClassVar[str] = "table"

    columns: tuple[Column, ...]
    id: str | None = None
    label: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None

    def read(self, source: Any, on_progress: OnProgress | None = None) -> Iterator[Reading]:
        """See `Reader.read`; columns are found by name, in any order."""
        source, dialect = opened(source, self.delimiter, self.decimal, self.encoding)
        n = 0
        for part in frames.read_parts(source, dialect):
            missing = [column.name for column in self.columns if column.name not in part.column_names]
            if missing:
                raise DataError(
                    f"{named(source)}: expected the columns of the training data, found no {', '.join(missing)}; "
                    f"there are {', '.join(part.column_names)}"
                )
            yield self._points(part, n, dialect)
            n += part.num_rows
            if on_progress is not None:
                on_progress(n, n, f"{n:,} rows")

    def records(self, source: Any, ids: Collection[str]) -> tuple[list[str], dict[str, list[str]]]:
        """See `Reader.records`: the cells of all columns but those of ids and classes, as text."""
        source, dialect = opened(source, self.delimiter, self.decimal, self.encoding)
        names: list[str] = []
        found: dict[str, list[str]] = {}
        n = 0
        for part in frames.read_parts(source, dialect):
            names = [str(name) for name in part.column_names if name not in (self.id, self.label)]
            of_rows = ids_of(part, self.id, n)
            rows = [row for row, item in enumerate(of_rows) if item in ids]
            if rows:
                taken = part.take(rows)
                columns = [frames.texts(taken.column(name).combine_chunks(), strip=False) for name in names]
                cells = map(list, zip(*columns, strict=True))
                found |= dict(zip((of_rows[row] for row in rows), cells, strict=True))
            n += part.num_rows
        return names, found

    def _points(self, part: "pa.Table", n_before: int, dialect: Dialect | None) -> Reading:
        decimal = "." if dialect is None else dialect.decimal
        counts: dict[str, int] = {}
        blocks = [
            _features(column, part.column(column.name).combine_chunks(), decimal, counts) for column in self.columns
        ]
        X = np.concatenate(blocks, axis=1) if blocks else np.zeros((part.num_rows, 0), dtype=np.float32)
        return Reading(ids_of(part, self.id, n_before), X, labels=labels_of(part, self.label), counts=counts)

    def pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return no arrays, and the values from which `unpack` restores the reader."""
        return {}, asdict(self)

    @classmethod
    def unpack(cls, arrays: dict[str, Any], values: dict[str, Any]) -> "TableReader":
        """The inverse of `pack`."""
        columns = tuple(Column(**{**item, "categories": tuple(item["categories"])}) for item in values["columns"])
        return cls(**{**values, "columns": columns})


@dataclass(frozen=True)
class Table(Source):
    """A table of a person, in a CSV or Parquet file, most rows without a label.

    Parameters
    ----------
    path : str
    name : str
    id : str, optional
        Column with the names of the points; by default a column called id, or the number of the row.
    label : str, optional
        Column with classes, empty where they are unknown.
    drop : list of str
        Columns to leave out.
    delimiter, decimal, encoding : str, optional
        Of a CSV file; by default what the file shows.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "fruit.csv")
    ...     _ = path.write_text("id,weight,colour\\n007,150,red\\n008,,green\\n009,120,red\\n")
    ...     data = Table(str(path)).load()
    >>> data.train_ids, data.X_train.shape
    (['007', '008', '009'], (3, 4))
    """

    path: str
    name: str = "table"
    id: str | None = None
    label: str | None = None
    drop: list[str] = param([])
    delimiter: str | None = None
    decimal: str | None = param(None, choices=(".", ","))
    encoding: str | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        check(self)

    def load(self) -> Dataset:
        """Read the table. DataError if it is missing or broken, or a named column is not there."""
        source, dialect = opened(expanded(self.path), self.delimiter, self.decimal, self.encoding)
        table = frames.read_whole(source, dialect)
        reader, notes = fit(self, table, dialect)
        reading = reader._points(table, 0, dialect)
        if dialect is not None:
            notes.insert(0, dialect.in_words())
        return own.dataset(self.name, reader, reading, notes, strict=self.strict)


def opened(source: Any, delimiter: str | None, decimal: str | None, encoding: str | None) -> tuple[Any, Dialect | None]:
    """Return a source, and the dialect of a CSV file.

    >>> opened("points.parquet", None, None, None)
    (PosixPath('points.parquet'), None)
    """
    if frames.is_frame(source):
        return source, None
    path = Path(source)
    if path.suffix.lower() in (".parquet", ".pq"):
        return path, None
    return path, frames.find_dialect(path, delimiter, decimal, encoding)


def named(source: Any) -> str:
    """Return the name of a source for messages.

    >>> named(Path("points.csv"))
    'points.csv'
    """
    return "the DataFrame" if frames.is_frame(source) else str(source)


def fit(settings: Table, table: "pa.Table", dialect: Dialect | None) -> tuple[TableReader, list[str]]:
    """Find the types of the columns: the reader, and notes for people.

    Raises
    ------
    DataError
        A named column is not there, or no column is of use.

    Examples
    --------
    >>> import pyarrow as pa
    >>> reader, notes = fit(Table("a.csv"), pa.table({"id": ["a", "b"], "x": ["1", "2"], "same": ["y", "y"]}), None)
    >>> [column.name for column in reader.columns], reader.id, notes
    (['x'], 'id', ['1 column of numbers', 'left out: same (constant)'])
    """
    names = table.column_names
    for given in settings.drop:
        frames.require(given, names, "data.drop", settings.path)
    id_column = _id_column(table, {"id": settings.id, "label": settings.label}, settings.path)
    decimal = "." if dialect is None else dialect.decimal
    columns, left_out = [], []
    for name in names:
        if name in (id_column, settings.label, *settings.drop):
            continue
        column, reason = _column(name, table.column(name).combine_chunks(), decimal)
        if is_id_name(name):
            column, reason = None, "names points, but not each its own"
        if column is None:
            left_out.append(f"{name} ({reason})")
        else:
            columns.append(column)
    if not columns:
        raise DataError(
            f"{settings.path}: expected at least one column that differs between rows, found none of use "
            f"({'; '.join(left_out) or 'no columns'}); name a column of texts with data.text=..."
        )
    kinds = Counter(column.kind for column in columns)
    plural = {"number": "numbers", "date": "dates", "category": "categories"}
    notes = [f"{n} column{'s' if n > 1 else ''} of {plural[kind]}" for kind, n in kinds.items()]
    if left_out:
        notes.append(f"left out: {', '.join(left_out)}")
    reader = TableReader(
        tuple(columns),
        id_column,
        settings.label,
        settings.delimiter,
        settings.decimal if dialect is None else dialect.decimal,
        settings.encoding,
    )
    return reader, notes


def find_id(table: "pa.Table") -> str | None:
    """Return the column that names the points: called id, key, uuid, file or filename, with distinct values.

    >>> import pyarrow as pa
    >>> find_id(pa.table({"ID": ["007", "008"], "x": ["1", "2"]}))
    'ID'
    """
    for name in table.column_names:
        if is_id_name(name):
            found = frames.texts(table.column(name).combine_chunks(), strip=False)
            if "" not in found and len(set(found)) == len(found):
                return str(name)
    return None


def is_id_name(name: str) -> bool:
    """Return whether a column is called what columns of ids are called.

    >>> is_id_name("Id"), is_id_name("idea")
    (True, False)
    """
    return name.lower().strip("_") in ("id", "key", "uuid", "file", "filename")


def check_columns(
    path: Path, columns: dict[str, str | None], delimiter: str | None, encoding: str | None
) -> str | None:
    """Raise DataError if a named column is not in a table, and return the column with the ids.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.csv")
    ...     _ = path.write_text("id,text\\n1,hello\\n")
    ...     check_columns(path, {"text": "text", "id": None}, None, None)
    'id'
    """
    source, dialect = opened(path, delimiter, None, encoding)
    return _id_column(frames.read_whole(source, dialect), columns, path)


def _id_column(table: "pa.Table", columns: dict[str, str | None], source: Any) -> str | None:
    """The column with the ids, after a check that all named columns are there."""
    for setting, name in columns.items():
        if name is not None:
            frames.require(name, table.column_names, f"data.{setting}", source)
    return columns["id"] or find_id(table)


def _column(name: str, cells: Any, decimal: str) -> tuple[Column | None, str]:
    """How a column becomes features, or None and why it is left out."""
    kind, values = "number", frames.numbers(cells, decimal)
    if values is None:
        kind, values = "date", frames.days(cells)
    if values is not None:
        known = values[~np.isnan(values)]
        has_gaps = 0 < len(known) < len(values)
        if len(known) == 0:
            return None, "empty"
        center = float(known.mean())
        largest = float(np.abs(known - center).max()) or 1.0  # or squares might overflow
        deviation = float(((known - center) / largest).std()) * largest
        if deviation <= 1e-12 * abs(center) and not has_gaps:
            return None, "constant"
        return Column(name, kind, center, deviation or 1.0, has_gaps), ""
    distinct, places = frames.encoded(cells)
    counts: Counter[str] = Counter()
    for text, count in zip(distinct, np.bincount(places, minlength=len(distinct)).tolist(), strict=True):
        counts[text] += count  # some differ by blanks alone
    has_gaps = counts.pop("", 0) > 0
    if len(counts) > MAX_CATEGORIES and len(counts) > MAX_DISTINCT * len(cells):
        return None, "nearly all texts differ"
    if len(counts) + has_gaps < 2:
        return None, "constant"
    kept = sorted(counts, key=lambda text: (-counts[text], text))[:MAX_CATEGORIES]
    return Column(name, "category", has_gaps=has_gaps, categories=tuple(kept)), ""


def _features(column: Column, cells: Any, decimal: str, counts: dict[str, int]) -> np.ndarray:
    """(n, n_features) float32 of a column; adds to the counts of what was filled."""
    if column.kind == "category":
        return _categories(column, cells, counts)
    values = frames.numbers(cells, decimal) if column.kind == "number" else frames.days(cells)
    if values is None:
        return _not_numbers(column, cells, decimal, counts)
    is_gap = np.isnan(values)
    if is_gap.any():
        counts[f"{column.name}: gaps filled"] = int(is_gap.sum())
    scaled = np.arcsinh((np.where(is_gap, column.mean, values) - column.mean) / column.deviation)
    features = [scaled, is_gap] if column.has_gaps else [scaled]
    return np.stack(features, axis=1).astype(np.float32)


def _not_numbers(column: Column, cells: Any, decimal: str, counts: dict[str, int]) -> np.ndarray:
    """The same where some cells are not what they were in training: those count as gaps."""
    import pyarrow as pa

    convert = frames.numbers if column.kind == "number" else lambda cell, _: frames.days(cell)
    found = frames.texts(cells)
    each = {text: convert(pa.array([text], pa.string()), decimal) for text in set(found)}
    values = [np.nan if each[text] is None else float(each[text][0]) for text in found]  # type: ignore[index]
    if n_others := sum(each[text] is None for text in found):
        counts[f"{column.name}: cells that are no {column.kind}"] = n_others
    return _features(Column(column.name, "number", column.mean, column.deviation, column.has_gaps),
                     pa.array(values, pa.float64()), decimal, counts)  # fmt: skip


def _categories(column: Column, cells: Any, counts: dict[str, int]) -> np.ndarray:
    places = {name: place for place, name in enumerate(column.categories)}
    if column.has_gaps:
        places[""] = len(places)
    distinct, place_of = frames.encoded(cells)
    of_rows = np.array([places.get(text, -1) for text in distinct], dtype=np.int64)[place_of]
    n_unknown = int(np.sum(of_rows < 0))
    if n_unknown and len(column.categories) < MAX_CATEGORIES:
        counts[f"{column.name}: unknown categories"] = n_unknown
    return (of_rows[:, None] == np.arange(column.n_features)).astype(np.float32)


def ids_of(part: "pa.Table", name: str | None, n_before: int) -> list[str]:
    """Return the ids of a part of a table: the cells of a column, or the numbers of the rows, counted from 1.

    >>> import pyarrow as pa
    >>> ids_of(pa.table({"x": ["a", "b"]}), None, n_before=10)
    ['11', '12']
    """
    if name is None or name not in part.column_names:
        return [str(n_before + row) for row in range(1, part.num_rows + 1)]
    return frames.texts(part.column(name).combine_chunks(), strip=False)


def labels_of(part: "pa.Table", name: str | None) -> list[str]:
    """Return the classes of a part of a table, empty where unknown; an empty list without such a column.

    >>> import pyarrow as pa
    >>> labels_of(pa.table({"x": ["a", ""]}), "x")
    ['a', '']
    """
    if name is None or name not in part.column_names:
        return []
    return own.classes(part.column(name).combine_chunks(), f"data.label={name}")
