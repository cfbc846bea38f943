"""Label Studio, both ways: tasks with predictions out, and its exports in.

References
----------
Label Studio, "Export annotations and data" and "Import pre-annotated data", https://labelstud.io/guide.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from gpussl.errors import DataError, InputError
from gpussl.label.matching import Points
from gpussl.label.names import checked_class, listed
from gpussl.runtime.delimited import find_delimiter
from gpussl.runtime.names import readable

ID = "gpussl_id"  # of the point, in the data of a task
ITEM, LABEL = "item", "label"  # names in the labelling configuration
# columns of the short JSON and CSV exports that are no answers and no data
OWN = {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "comment", "agreement"}


@dataclass(frozen=True)
class Export:
    """What an export says.

    Attributes
    ----------
    labels : dict of str to str
        By id.
    skipped : list of str
        Ids of cancelled tasks.
    ties : list of str
        What people differ on, in words; these points have no label.

    Examples
    --------
    >>> Export({"a.png": "cat"}).skipped
    []
    """

    labels: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    ties: list[str] = field(default_factory=list)


@dataclass
class _Said:
    """All that was said in an export about one task."""

    number: str
    names: list[str]
    answers: list[tuple[Any, bool]] = field(default_factory=list)  # the class, and whether it is the ground truth
    is_cancelled: bool = False


def is_export(path: Path, text: str) -> bool:
    """Return whether the text of a file is an export: a JSON list, or a CSV file with its columns.

    >>> is_export(Path("a.json"), '[{"id": 1}]'), is_export(Path("a.csv"), "id,label\\n1,cat\\n")
    (True, False)
    """
    if path.suffix.lower() == ".json":
        return True
    header = text.split("\n", 1)[0].lstrip("\ufeff")
    return "annotation_id" in next(csv.reader([header], delimiter=find_delimiter(header)), [])


def parse(path: Path, text: str, ids: Collection[str], classes: Sequence[str] = (), label_column: str = "") -> Export:
    """Return what an export says about known points: of several answers the ground truth, or else the majority.

    Parameters
    ----------
    path : Path
        For messages; its suffix is .json or .csv.
    text : str
    ids : collection of str
    classes : sequence of str
        The only classes allowed; all, if empty.
    label_column : str
        Name of the choices in the labelling configuration, if there are several.

    Raises
    ------
    DataError
        The file is no export, or tasks are wrong: the message names each. Nothing should be taken then.

    Examples
    --------
    >>> task = {"id": 7, "data": {"image": "/data/upload/1/1a2b3c4d-a.png"}, "annotations": [
    ...     {"result": [{"from_name": "kind", "type": "choices", "value": {"choices": ["cat"]}}]}]}
    >>> parse(Path("export.json"), json.dumps([task]), ids=["a.png"]).labels
    {'a.png': 'cat'}
    """
    points = Points(ids)
    tasks, wrong = _read(path, text, label_column, points)
    of_point: dict[str, _Said] = {}
    for task in tasks:
        wrong += _checked(task, classes)
        item, complaint = _point(points, task)
        if complaint:
            wrong.append(f"task {task.number}: {complaint}")
        elif item in of_point:
            known = of_point[item]
            known.answers += task.answers
            known.is_cancelled = known.is_cancelled or task.is_cancelled
        else:
            of_point[item] = task
    if wrong:
        raise DataError(
            f"{path}: expected one class for each known point, found wrong tasks: {listed(wrong)}; no label was taken"
        )
    found = Export()
    for item, said in of_point.items():
        best = _majority(said.answers)
        if len(best) == 1:
            found.labels[item] = best[0]
        elif best:
            found.ties.append(f"task {said.number} ({item}): {' and '.join(map(repr, best))} as often")
        elif said.is_cancelled:
            found.skipped.append(item)
    return found


def tasks(
    points: Mapping[str, Mapping[str, str]],
    predictions: Mapping[str, tuple[str, float]],
    labels: Mapping[str, str],
    version: str,
    folder: str | None,
) -> str:
    """Return tasks as the JSON that Label Studio imports.

    Parameters
    ----------
    points : dict of str to dict
        The fields of each point to label, by id, in the order to ask.
    predictions : dict of str to (str, float)
        The class that a model says, and its probability.
    labels : dict of str to str
        The classes that are known already.
    version : str
        Name of the model.
    folder : str or None
        Folder of the pictures under Label Studio's root for local files; None if the points are not pictures.

    Examples
    --------
    >>> text = tasks({"a b.png": {}}, {"a b.png": ("cat", 0.9)}, {}, "1", "photos")
    >>> json.loads(text)[0]["data"]
    {'gpussl_id': 'a b.png', 'item': '/data/local-files/?d=photos/a%20b.png'}
    """
    found = []
    for item, fields in points.items():
        shown: Any = dict(fields)
        if folder is not None:
            shown = f"/data/local-files/?d={quote(f'{folder}/{item}' if folder else item, errors='surrogateescape')}"
        elif len(fields) == 1:
            (shown,) = fields.values()
        name = readable(item)
        task: dict[str, Any] = {"data": {ID: name, ITEM: shown or name}}
        if item in predictions:
            label, probability = predictions[item]
            task["predictions"] = [
                {"model_version": version, "score": round(probability, 4), "result": [_choice(label)]}
            ]
        if item in labels:
            task["annotations"] = [{"result": [_choice(labels[item])]}]
        found.append(task)
    return json.dumps(found, indent=1)


def labelling_config(key_of: Mapping[str, str], kind: str) -> str:
    """Return the labelling configuration as XML.

    Parameters
    ----------
    key_of : dict of str to str
        The key of each class, empty for one without.
    kind : {"image", "text", "row"}

    Examples
    --------
    >>> print(labelling_config({"cat & dog": "1"}, "text"))
    <View>
      <Text name="item" value="$item" />
      <Choices name="label" toName="item" choice="single" required="true">
        <Choice value="cat &amp; dog" hotkey="1" />
      </Choices>
    </View>
    """
    view = ElementTree.Element("View")
    tag = {"image": "Image", "text": "Text", "row": "Table"}[kind]
    ElementTree.SubElement(view, tag, name=ITEM, value=f"${ITEM}")
    choices = ElementTree.SubElement(view, "Choices", name=LABEL, toName=ITEM, choice="single", required="true")
    for name, key in key_of.items():
        choice = ElementTree.SubElement(choices, "Choice", value=name)
        if key:
            choice.set("hotkey", key)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode")


def _checked(task: _Said, classes: Sequence[str]) -> list[str]:
    """Check the classes of a task, and return what is wrong with them."""
    wrong, answers = [], []
    for label, is_truth in task.answers:
        try:
            answers.append((checked_class(label, classes), is_truth))
        except InputError as error:
            wrong.append(f"task {task.number}: {error}")
    task.answers = answers
    return wrong


def _choice(label: str) -> dict[str, Any]:
    return {"from_name": LABEL, "to_name": ITEM, "type": "choices", "value": {"choices": [label]}}


def _read(path: Path, text: str, wanted: str, points: Points) -> tuple[list[_Said], list[str]]:
    """The tasks of an export of any kind, and what is wrong with some."""
    wrong: list[str] = []
    if path.suffix.lower() != ".json":
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=find_delimiter(text.split("\n", 1)[0])))
        return list(_short(path, rows, wanted, points, wrong)), wrong
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: expected an export of Label Studio, found no JSON ({error})") from error
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{path}: expected an export of Label Studio, a list of tasks, found other JSON")
    is_long = any("annotations" in entry or "completions" in entry for entry in entries)
    found = _long(entries, wanted, wrong) if is_long else _short(path, entries, wanted, points, wrong)
    return list(found), wrong


def _long(entries: Sequence[Mapping[str, Any]], wanted: str, wrong: list[str]) -> Iterator[_Said]:
    """The tasks of the JSON export."""
    for entry in entries:
        data: Any = entry.get("data")
        data = data if isinstance(data, dict) else {}
        names = [data[name] for name in (ID, "id") if isinstance(data.get(name), str)]
        names += [entry["file_upload"]] if isinstance(entry.get("file_upload"), str) else []
        names += [value for name, value in data.items() if name not in (ID, "id") and isinstance(value, str)]
        said = _Said(str(entry.get("id", "without a number")), [name for name in names if name])
        for annotation in _dicts(entry.get("annotations") or entry.get("completions")):
            if annotation is None:
                wrong.append(f"task {said.number} has an answer of another form")
            elif annotation.get("was_cancelled"):
                said.is_cancelled = True
            else:
                _take(said, annotation, wanted, wrong)
        yield said


def _take(said: _Said, annotation: Mapping[str, Any], wanted: str, wrong: list[str]) -> None:
    """Add what an annotation says to its task, or to what is wrong."""
    results = list(_dicts(annotation.get("result")))
    choices = [result for result in results if result is not None and result.get("type") == "choices"]
    choices = [result for result in choices if not wanted or result.get("from_name") == wanted]
    questions = sorted({str(result.get("from_name")) for result in choices})
    if len(questions) > 1:
        wrong.append(f"task {said.number} has the choices {', '.join(questions)}; name one with label_column=...")
        return
    labels: list[object] = []
    for result in choices:
        value = result.get("value")
        of_value = value.get("choices") if isinstance(value, dict) else None
        labels += of_value if isinstance(of_value, list) else [of_value]
    if len(labels) > 1:
        wrong.append(f"task {said.number} has several choices, {' and '.join(map(repr, labels))}")
    elif labels:
        said.answers.append((labels[0], annotation.get("ground_truth") is True))
    elif results:
        wrong.append(f"task {said.number} has an answer without choices")


def _dicts(value: object) -> Iterator[dict[str, Any] | None]:
    """The entries of a list of objects; None for one of another form."""
    for entry in value if isinstance(value, list) else [] if value is None else [value]:
        yield entry if isinstance(entry, dict) else None


def _short(
    path: Path, rows: Sequence[Mapping[str, Any]], wanted: str, points: Points, wrong: list[str]
) -> Iterator[_Said]:
    """The tasks of the short JSON and the CSV export: an entry for each annotation, its data beside its choices."""
    names = list(dict.fromkeys(name for row in rows for name in row if name is not None))
    column = wanted or _choices_column(path, rows, names, points)
    if column not in names:
        raise DataError(f"label_column: expected a column of {path}, one of {', '.join(names)}, found {column}")
    for row in rows:
        said = _Said(str(row.get("id", "without a number")), [])
        known = [row.get(ID), *(row.get(name) for name in names if name not in (ID, column, *OWN))]
        said.names = [name for name in known if isinstance(name, str) and name]
        labels = [label for label in _labels(row.get(column)) if label != ""]
        if len(labels) > 1:
            wrong.append(f"task {said.number} has several choices, {' and '.join(map(repr, labels))}")
        elif labels:
            said.answers.append((labels[0], False))
        else:
            said.is_cancelled = True
        yield said


def _choices_column(path: Path, rows: Sequence[Mapping[str, Any]], names: Sequence[str], points: Points) -> str:
    """The column of choices: ours, or the only one that is no data of the points."""
    if LABEL in names:
        return LABEL
    others = [name for name in names if name not in (ID, *OWN)]

    def names_points(name: str) -> bool:
        cells = [cell for row in rows if isinstance(cell := row.get(name), str) and cell]
        return bool(cells) and sum(bool(points.find(cell)) for cell in cells) > len(cells) / 2

    found = [name for name in others if not names_points(name)]
    usual = [name for name in found if name in ("choice", "choices", "class", "category", "sentiment")]
    for only in (found, usual):
        if len(only) == 1:
            return only[0]
    raise DataError(
        f"{path}: expected a column of choices, found {', '.join(others) or 'none'}; name it with label_column=..."
    )


def _labels(cell: object) -> list[object]:
    """The choices in a cell: text, or several as a JSON object or list."""
    if isinstance(cell, str) and cell.lstrip()[:1] in ("{", "["):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            return [cell]
    if isinstance(cell, dict):
        cell = cell.get("choices")
    return cell if isinstance(cell, list) else [] if cell is None else [cell]


def _point(points: Points, task: _Said) -> tuple[str, str]:
    """The point of a task, or what is wrong with its names."""
    unclear: list[str] = []
    for name in task.names:
        found = points.find(name)
        if len(found) == 1:
            return found[0], ""
        unclear = unclear or found
    if unclear:
        return "", f"{task.names[0]!r} may be {len(unclear)} points, such as {' and '.join(map(repr, unclear[:2]))}"
    return "", f"no point is called {task.names[0][:80]!r}" if task.names else "it names no point"


def _majority(answers: Sequence[tuple[str, bool]]) -> list[str]:
    """The classes that were said most often; only the ground truth counts, if there is one."""
    certain = [label for label, is_truth in answers if is_truth]
    counts = Counter(certain or [label for label, _ in answers])
    most = max(counts.values(), default=0)
    return [label for label, count in counts.items() if count == most]
