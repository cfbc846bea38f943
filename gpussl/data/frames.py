"""Read tables as Arrow tables: CSV, Parquet, or a pandas DataFrame. Text stays text; types are found afterwards."""

import codecs
import contextlib
import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpussl.errors import DataError
from gpussl.runtime.delimited import find_delimiter
from gpussl.runtime.names import did_you_mean, nearest

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
BLOCK_BYTES = 8 * 2**20  # of a CSV file: bounds the memory of reading in parts
N_SAMPLED = 1000  # lines that show whether decimals have a comma
COMMA_NUMBER = r"[+-]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+)(,[0-9]+)?([eE][+-]?[0-9]+)?"
POINT_NUMBER = r"[+-]?[0-9]*\.[0-9]+"
GAPS = frozenset({"", "?", "NA", "N/A", "n/a", "na", "NaN", "nan", "NULL", "null", "None", "none", "-"})  # in numbers
TABLES = (".csv", ".tsv", ".tab", ".parquet", ".pq")


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Attributes
    ----------
    encoding, delimiter, decimal : str
    names : tuple of str
        The header.

    Examples
    --------
    >>> Dialect("utf-8", ";", ",", ("a", "b")).in_words()
    'utf-8, delimiter ;, decimal comma'
    """

    encoding: str
    delimiter: str
    decimal: str
    names: tuple[str, ...]

    def in_words(self) -> str:
        """What was found, for people."""
        delimiter = "tab" if self.delimiter == "\t" else self.delimiter
        return f"{self.encoding}, delimiter {delimiter}" + (", decimal comma" if self.decimal == "," else "")


def is_frame(source: Any) -> bool:
    """Return whether a source is a pandas DataFrame, without importing pandas.

    >>> is_frame("points.csv")
    False
    """
    return type(source).__module__.split(".")[0] == "pandas" and type(source).__name__ == "DataFrame"


def find_dialect(path: Path, delimiter: str | None, decimal: str | None, encoding: str | None) -> Dialect:
    """Find how a CSV file is written, from its first bytes and its header; what is given is not looked for.

    Raises
    ------
    DataError
        The file cannot be read, is empty, is not in the encoding, or two columns have one name.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.csv")
    ...     _ = path.write_text("height;class\\n1,5;x\\n")
    ...     find_dialect(path, None, None, None)
    Dialect(encoding='utf-8', delimiter=';', decimal=',', names=('height', 'class'))
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
        encoding = encoding or next((name for bom, name in BOMS.items() if start.startswith(bom)), "utf-8")
        with path.open(encoding=encoding, newline="") as lines:
            header = _first_record(lines)
            sample = "".join(itertools.islice(lines, N_SAMPLED))
    except OSError as error:
        raise DataError(f"{path}: expected a readable table, found: {error.strerror or error}") from error
    except (UnicodeError, LookupError) as error:
        raise DataError(
            f"{path}: expected text in {encoding}, found other bytes ({error}); name the encoding, such as "
            "data.encoding=cp1252"
        ) from error
    if not header.strip():
        raise DataError(f"{path}: expected a header line with the names of the columns, found an empty file")
    if delimiter in ("tab", "\\t"):
        delimiter = "\t"
    if delimiter is None:
        delimiter = find_delimiter(header)
    names = tuple(name.strip() for name in next(csv.reader(io.StringIO(header), delimiter=delimiter)))
    _check_names(names, path)
    if decimal is None:
        decimal = "," if delimiter == ";" and _has_decimal_commas(sample) else "."
    return Dialect(encoding, delimiter, decimal, names)


def read_parts(source: Any, dialect: Dialect | None = None) -> "Iterator[pa.Table]":
    """Read a table in parts of bounded size.

    Parameters
    ----------
    source : Path or DataFrame
    dialect : Dialect, optional
        Of a CSV file.

    Raises
    ------
    DataError
        The file is broken, or has a row with more or fewer cells than the header.

    Examples
    --------
    >>> import pandas as pd
    >>> [part.num_rows for part in read_parts(pd.DataFrame({"a": [1, 2]}))]
    [2]
    """
    import pyarrow as pa
    from pyarrow import parquet

    if is_frame(source):
        frame = source.rename(columns=str)
        _check_names(tuple(frame.columns), "the DataFrame")
        yield pa.Table.from_pydict({name: _arrow_column(frame[name]) for name in frame.columns})
        return
    if dialect is not None:
        yield from _csv_parts(source, dialect)
        return
    try:
        with parquet.ParquetFile(source) as file:
            _check_names(tuple(file.schema_arrow.names), source)
            for batch in file.iter_batches(65_536):
                yield pa.Table.from_batches([batch])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{source}: expected a whole Parquet file, found a broken one ({_line(error)})") from error


def read_whole(source: Any, dialect: Dialect | None = None) -> "pa.Table":
    """Read a table at once. Raises as `read_parts` does, and DataError if there are no rows.

    >>> import pandas as pd
    >>> read_whole(pd.DataFrame({"a": [1, 2]})).num_rows
    2
    """
    import pyarrow as pa

    parts = [part for part in read_parts(source, dialect) if part.num_rows]
    if not parts:
        raise DataError(f"{'the DataFrame' if is_frame(source) else source}: expected rows, found none")
    return pa.concat_tables(parts)


def _arrow_column(cells: "pd.Series") -> "pa.Array":
    """A column of a DataFrame; objects of several types, or of one that is pandas' own, are text."""
    import pyarrow as pa

    with contextlib.suppress(pa.ArrowException):
        found = pa.Array.from_pandas(cells)
        if not isinstance(found.type, pa.BaseExtensionType):
            return found
    return pa.Array.from_pandas(cells.astype(str).where(cells.notna(), ""))


def _csv_parts(path: Path, dialect: Dialect) -> "Iterator[pa.Table]":
    import pyarrow as pa
    from pyarrow import csv as arrow

    encoding = "utf-8" if dialect.encoding == "utf-8-sig" else dialect.encoding
    reading = arrow.ReadOptions(
        column_names=list(dialect.names), skip_rows_after_names=1, encoding=encoding, block_size=BLOCK_BYTES
    )
    parsing = arrow.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=True)
    converting = arrow.ConvertOptions(
        column_types={name: pa.string() for name in dialect.names}, strings_can_be_null=False
    )
    try:
        with arrow.open_csv(path, reading, parsing, converting) as batches:
            for batch in batches:
                yield pa.Table.from_batches([batch])
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):  # a header alone
            yield pa.table({name: pa.array([], pa.string()) for name in dialect.names})
            return
        raise DataError(f"{path}: expected {len(dialect.names)} cells in each row, found: {_line(error)}") from error
    except (OSError, UnicodeError) as error:
        raise DataError(f"{path}: expected a readable table, found: {_line(error)}") from error


def texts(column: Any, *, strip: bool = True) -> list[str]:
    """Return the cells of an Arrow column as text, without blanks around it; empty for a gap.

    A whole number among floating-point ones has no decimals: gaps in a column of class numbers make it floating-point.

    >>> import pyarrow as pa
    >>> texts(pa.array([" a", None])), texts(pa.array([0.0, None, 1.0]))
    (['a', ''], ['0', '', '1'])
    """
    import pyarrow as pa

    kind = column.type
    values = column.to_pylist()
    if pa.types.is_floating(kind):
        return ["" if v is None or v != v else str(int(v)) if float(v).is_integer() else repr(v) for v in values]
    return ["" if value is None else str(value).strip() if strip else str(value) for value in values]


def encoded(column: Any) -> tuple[list[str], np.ndarray]:
    """Return the distinct cells of an Arrow column as `texts` does, and the place (n,) of each row's among them.

    Cells that differ by blanks alone are distinct here, and equal as text.

    >>> import pyarrow as pa
    >>> found, places = encoded(pa.array([" a", None, "b", "b"]))
    >>> found, places.tolist()
    (['a', '', 'b'], [0, 1, 2, 2])
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        column = pa.array(texts(column), pa.string())
    cells = pc.dictionary_encode(column, null_encoding="encode")
    return texts(cells.dictionary), np.asarray(cells.indices)


def numbers(column: Any, decimal: str = ".") -> np.ndarray | None:
    """Return the cells of an Arrow column as float64 (n,) with NaN for gaps; None if some are not numbers.

    >>> import pyarrow as pa
    >>> numbers(pa.array(["1.5", "?"])).tolist(), numbers(pa.array(["x"])) is None
    ([1.5, nan], True)
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if (
        pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
    ):
        return np.asarray(pc.fill_null(pc.cast(column, pa.float64(), safe=False), np.nan), dtype=np.float64)
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        whole = pc.cast(column, pa.int32() if pa.types.is_time32(kind) else pa.int64())
        return np.asarray(pc.fill_null(pc.cast(whole, pa.float64(), safe=False), np.nan))  # as long as they may be
    if pa.types.is_interval(kind):
        return None
    if pa.types.is_temporal(kind):
        days = pc.cast(pc.cast(column, pa.timestamp("s"), safe=False), pa.int64())
        return np.asarray(pc.fill_null(pc.cast(days, pa.float64()), np.nan)) / 86_400
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return None
    stripped = pc.utf8_trim_whitespace(column)
    is_gap = pc.fill_null(pc.is_in(stripped, pa.array(sorted(GAPS))), True)
    filled = pc.if_else(is_gap, "nan", stripped)
    if decimal == ",":
        is_number = pc.fill_null(pc.match_substring_regex(stripped, f"^{COMMA_NUMBER}$"), False)
        if not pc.all(pc.or_(is_gap, is_number)).as_py():
            return None
        filled = pc.replace_substring(pc.replace_substring(filled, ".", ""), ",", ".")
    with contextlib.suppress(pa.ArrowInvalid):
        found = np.asarray(pc.cast(filled, pa.float64()), dtype=np.float64)
        return np.where(np.isfinite(found), found, np.nan)
    return None


def days(column: Any) -> np.ndarray | None:
    """Return dates in text, year first or day.month.year, as days since 1970 (n,) with NaN for gaps; None for others.

    >>> import pyarrow as pa
    >>> days(pa.array(["1970-01-02", ""])).tolist(), days(pa.array(["2.1.1970"])).tolist()
    ([1.0, nan], [1.0])
    """
    import pandas as pd
    import pyarrow as pa

    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return None
    distinct, places = encoded(column)
    cells = pd.Series(distinct, dtype=object)
    cells[cells.isin(list(GAPS))] = None
    if cells.notna().sum() == 0:
        return None
    for form in ("ISO8601", "%d.%m.%Y"):
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            found = pd.to_datetime(cells, format=form, utc=True)
            return np.asarray((found - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1), dtype=np.float64)[places]
    return None


def require(name: str, names: Sequence[str], setting: str, source: Any) -> None:
    """Raise DataError if a named column is not there.

    >>> require("text", ["content", "label"], "data.text", "a.csv")
    Traceback (most recent call last):
    gpussl.errors.DataError: data.text: expected a column of a.csv, one of content, label, found text
    """
    if name not in names:
        meant = did_you_mean(nearest(name, names))
        raise DataError(f"{setting}: expected a column of {source}, one of {', '.join(names)}, found {name}{meant}")


def _first_record(lines: Any) -> str:
    """The header, which may have line breaks in quotes."""
    record = str(lines.readline())
    while record.count('"') % 2 and (more := lines.readline()):
        record += more
    return record


def _check_names(names: Sequence[str], source: Any) -> None:
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise DataError(f"{source}: expected columns with names of their own, found two called {double[0]!r}")


def _has_decimal_commas(sample: str) -> bool:
    """Whether some cells are numbers with a decimal comma, and none is one with a decimal point."""
    cells = [cell.strip() for row in csv.reader(io.StringIO(sample, newline=""), delimiter=";") for cell in row]
    has_commas = any("," in cell and re.fullmatch(COMMA_NUMBER, cell) for cell in cells)
    has_points = any(
        "." in cell and re.fullmatch(POINT_NUMBER, cell) and not re.fullmatch(COMMA_NUMBER, cell) for cell in cells
    )
    return has_commas and not has_points


def _line(error: Exception) -> str:
    return str(error).splitlines()[0]
