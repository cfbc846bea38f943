"""Labels in CSV files: what a person, a spreadsheet or another program has written."""

import contextlib
import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from gpussl.errors import DataError
from gpussl.label.names import SHOWN, listed
from gpussl.runtime.delimited import find_delimiter
from gpussl.runtime.names import did_you_mean, nearest

LABEL_NAMES = ("label", "class", "category", "answer", "target")
MOST_TO_COMPARE = 5000  # ids; comparing with more takes seconds


def parse(
    path: Path,
    text: str,
    ids: Collection[str],
    classes: Sequence[str] = (),
    id_column: str = "",
    label_column: str = "",
) -> dict[str, str]:
    """Return the labels in the text of a CSV file, by id. Rows without a label are left out.

    Parameters
    ----------
    path : Path
        For messages.
    text : str
    ids : collection of str
        The known ids. One of another Unicode form is found by its canonical form.
    classes : sequence of str
        The only classes allowed; all, if empty.
    id_column, label_column : str
        Names of the columns; empty to find them.

    Raises
    ------
    DataError
        A column is not there, or lines are wrong: the message names each. Nothing should be taken then.

    Examples
    --------
    >>> parse(Path("labels.csv"), "id,label\\na.png,cat\\nb.png,\\n", ids={"a.png", "b.png"})
    {'a.png': 'cat'}
    """
    records = _records(text)
    if not records:
        raise DataError(f"{path}: expected a header and lines of an id and a label, found an empty file")
    (_, header), *rows = records
    names = [name.strip() for name in header]
    if len(names) == 2 and names[0] in ids and not {name.lower() for name in names} & {"id", *LABEL_NAMES}:
        raise DataError(f"{path}: expected a header, such as id,label, found the point {names[0]!r} in line 1; add it")
    label_at = _column(path, names, label_column, "label_column", _label_place(names))
    id_at = _column(path, names, id_column, "id_column", _id_place(names, rows, ids, label_at))
    canonical = _by_canonical_form(ids)
    found: dict[str, tuple[str, int]] = {}
    wrong = []
    for line, cells in rows:
        if len(cells) <= max(id_at, label_at):
            wrong.append(f"line {line} has {len(cells)} cells instead of {len(names)}")
            continue
        item, label = cells[id_at], cells[label_at].strip()
        if not label:
            continue
        alike = [item] if item in ids else canonical.get(unicodedata.normalize("NFC", item.strip()), [])
        known = alike[0] if len(alike) == 1 else None
        if len(alike) > 1:
            shown = " and ".join(map(ascii, alike[:2]))
            wrong.append(f"line {line}: {item!r} is the name of {len(alike)} points in other Unicode forms, {shown}")
        elif known is None:
            meant = _meant(item, ids) if len(wrong) < SHOWN else ""  # finding it takes long
            wrong.append(f"line {line}: no point is called {item!r}{meant}")
        elif classes and label not in classes:
            meant = did_you_mean(nearest(label, classes)) if len(wrong) < SHOWN else ""
            wrong.append(f"line {line}: {label!r} is none of the classes{meant}")
        elif known in found and found[known][0] != label:
            wrong.append(f"lines {found[known][1]} and {line}: {known!r} is {found[known][0]!r} and {label!r}")
        else:
            found[known] = label, line
    if wrong:
        raise DataError(
            f"{path}: expected labels of known points, found wrong lines: {listed(wrong)}; no label was taken"
        )
    return {item: label for item, (label, _) in found.items()}


def read(path: Path, encoding: str | None = None, ids: Collection[str] = ()) -> str:
    """Return the text of a file in UTF-16 by its byte order mark, UTF-8, or else the given encoding; or DataError.

    If file names among the `ids` are no UTF-8, the file may have the same bytes.

    >>> read(Path("missing.csv"))
    Traceback (most recent call last):
    gpussl.errors.DataError: missing.csv: expected a file of labels, found: No such file or directory
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: expected a file of labels, found: {error.strerror}") from error
    usual = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    with contextlib.suppress(UnicodeError):
        return content.decode(usual)
    if encoding is None and any(not item.isascii() and _has_bytes(item) for item in ids):
        return content.decode("utf-8-sig", errors="surrogateescape")
    encoding = encoding or usual
    try:
        return content.decode(encoding)
    except (UnicodeError, LookupError) as error:
        raise DataError(
            f"{path}: expected text in {encoding}, found other bytes ({error}); name the encoding, such as "
            "data.encoding=cp1252"
        ) from error


def write(labels: Mapping[str, str], header: Sequence[str] = ("id", "label")) -> str:
    """Return labels by id as the text of a CSV file, which `parse` reads back.

    >>> write({"a.png": "cat"})
    'id,label\\na.png,cat\\n'
    """
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    table.writerow(header)
    table.writerows(labels.items())
    return lines.getvalue()


def similar_classes(labels: Collection[str]) -> list[str]:
    """Say which classes differ only by case.

    >>> similar_classes(["cat", "Cat", "dog"])
    ["'Cat' (1) and 'cat' (1) differ by case only"]
    """
    counts = Counter(labels)
    by_form: dict[str, list[str]] = {}
    for name in sorted(counts):
        by_form.setdefault(name.casefold(), []).append(name)
    return [
        f"{' and '.join(f'{name!r} ({counts[name]:,})' for name in names)} differ by case only"
        for names in by_form.values()
        if len(names) > 1
    ]


def _records(text: str) -> list[tuple[int, list[str]]]:
    """The records that are not empty, each with the number of its first line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=find_delimiter(text.split("\n", 1)[0]))
    records, line = [], 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            records.append((line, cells))
        line = reader.line_num + 1
    return records


def _column(path: Path, names: Sequence[str], given: str, setting: str, found: int | None) -> int:
    if given:
        if given not in names:
            raise DataError(f"{setting}: expected a column of {path}, one of {', '.join(names)}, found {given}")
        return names.index(given)
    if found is None:
        what = "labels" if setting.startswith("label") else "ids"
        raise DataError(
            f"{path}: expected columns called id and label, found {', '.join(names)}; name the one with the {what} "
            f"with {setting}=..."
        )
    return found


def _label_place(names: Sequence[str]) -> int | None:
    lower = [name.lower() for name in names]
    named = next((lower.index(name) for name in LABEL_NAMES if name in lower), None)
    return len(names) - 1 if named is None and len(names) == 2 else named


def _id_place(
    names: Sequence[str], rows: Sequence[tuple[int, list[str]]], ids: Collection[str], label_at: int
) -> int | None:
    """The column called id, or else the one in which the most known ids are."""
    lower = [name.lower() for name in names]
    if "id" in lower:
        return lower.index("id")
    if len(names) == 2:
        return 1 - label_at
    hits = [sum(len(cells) > place and cells[place] in ids for _, cells in rows) for place in range(len(names))]
    hits[label_at] = 0
    return hits.index(max(hits)) if max(hits, default=0) > 0 else None


def _has_bytes(name: str) -> bool:
    """Whether a name stands for bytes that are no UTF-8."""
    return any("\udc80" <= sign <= "\udcff" for sign in name)


def _meant(item: str, ids: Collection[str]) -> str:
    return did_you_mean(nearest(item, ids)) if len(ids) <= MOST_TO_COMPARE else ""


def _by_canonical_form(ids: Collection[str]) -> dict[str, list[str]]:
    """Ids by their canonical Unicode form."""
    found: dict[str, list[str]] = {}
    for item in ids:
        found.setdefault(unicodedata.normalize("NFC", item), []).append(item)
    return found
