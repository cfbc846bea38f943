"""A project: the folder in which a person's questions, answers and models are kept as plain files.

project.yaml               the data, and how they are read
points.csv                 every point with its state
answers.jsonl              every answer, one a line; the file only grows
data.parquet               the data, if they were a DataFrame
classes.csv                the classes with their keys on the page
rounds/1/to_label.csv      what to label, in order; rounds/1/round.json says why
rounds/1/look_alikes.csv   groups of points that are alike; fields.csv has what the page shows of a row or text
rounds/2/worth_auditing.csv  points of which random ones were asked for, to promise more with accept=...
learned/1/                 a model, its predictions, its doubts and its report; with accept=..., what is accepted
"""

import contextlib
import csv
import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import IO, Any

from omegaconf import OmegaConf

from gpussl.errors import ConfigError, DataError
from gpussl.label.answers import LABELLED, Answer, AnswerLog
from gpussl.runtime import store
from gpussl.runtime.names import expanded

SETTINGS, POINTS, ANSWERS, LOCK = "project.yaml", "points.csv", "answers.jsonl", ".lock"
DATA = "data.parquet"  # of a DataFrame
CLASSES = "classes.csv"  # of the page: the classes with their keys
TO_LABEL, LOOK_ALIKES, FIELDS = "to_label.csv", "look_alikes.csv", "fields.csv"  # of a round
MODEL, PREDICTIONS, DOUBTS, SUMMARY = "model.safetensors", "predictions.csv", "doubts.csv", "summary.txt"  # of a model
ACCEPTED, TO_CHECK = "accepted.csv", "to_check.csv"  # of a model of which so much was asked
WORTH_AUDITING = "worth_auditing.csv"  # of such a model, and of a round that asks for some of them
SOURCES = BOUGHT, PROPAGATED, PREDICTED = "bought", "propagated", "predicted"  # of the class of a point
REMEMBERED = ("represent", "features", "cluster", "propagate", "classifier", "audit", "classes", "seed")


@dataclass(frozen=True)
class Round:
    """What was asked at once.

    Attributes
    ----------
    number : int
    asked : dict of str to str
        Why each point was asked, by id, in the order to answer: "representative", "doubtful", "random" or "audit".
    audit : list of str
        The ids of a uniform random sample of the data as they are in this round, from all rounds so far. All its labels
        are known once the rounds are answered: the accuracy is estimated on it.
    seed : int
        Of the random order of which these are the first.

    Examples
    --------
    >>> Round(1, {"a.png": "random"}, ["a.png"]).number
    1
    """

    number: int
    asked: Mapping[str, str]
    audit: Sequence[str]
    seed: int = 0

    def reasons(self, *reasons: str) -> list[str]:
        """Return the ids of the points that were asked for one of some reasons."""
        return [item for item, why in self.asked.items() if why in reasons]


@dataclass(frozen=True)
class Project:
    """A project that is there already.

    Attributes
    ----------
    folder : Path
    data : dict
        The settings of the data by name; `choice` names the file of `conf/data`.
    settings : tuple of str
        Overrides of the stages that hold for each task on the project, as they were given with the data.
    taken : dict of str to Answer, optional
        The answers of a snapshot; None for those in the file, which other processes add to.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = create(Path(folder, "mine.gpussl"), {"choice": "auto", "path": "/data/mine"})
    ...     opened(made.folder).data["path"], made.rounds()
    ('/data/mine', [])
    """

    folder: Path
    data: dict[str, Any]
    settings: tuple[str, ...] = ()
    taken: Mapping[str, Answer] | None = None

    @property
    def source(self) -> Path:
        """The path of the data."""
        return expanded(str(self.data.get("path", "")))

    @property
    def log(self) -> AnswerLog:
        """The answers."""
        return AnswerLog(self.folder / ANSWERS)

    def labels(self) -> dict[str, str]:
        """Return the class of each labelled point by id, in the order of the answers."""
        return {item: answer.label for item, answer in self.answers().items() if answer.state == LABELLED}

    def answers(self) -> Mapping[str, Answer]:
        """Return the answer of each point that has one, by id."""
        return self.log.current() if self.taken is None else self.taken

    def what_next(self) -> str:
        """Return how many of the points that were asked for are open, and the command that follows, in words."""
        n_open = len({item for made in self.rounds() for item in made.asked} - self.answers().keys())
        left = f"{n_open:,} that were asked for are open. " if n_open else ""
        return f"{left}Go on with\n  gpussl learn {quote(str(self.folder))}"

    def snapshot(self) -> "Project":
        """Return the project with the answers so far: a task sees no others, while people go on labelling."""
        return dataclasses.replace(self, taken=self.log.current())

    def rounds(self) -> list[Round]:
        """Return all rounds, in order. A round that was not written whole is not there."""
        found = []
        for path in (self.folder / "rounds").glob("*/round.json"):
            try:
                read = json.loads(path.read_text())
                seed = int(read.get("seed", 0))
                found.append(Round(int(read["number"]), dict(read["asked"]), list(read["audit"]), seed))
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{path}: expected what was asked in a round, found a damaged file ({error}); put it back from a "
                    f"copy, or remove {path.parent}"
                ) from error
        return sorted(found, key=lambda asked: asked.number)

    def round_folder(self, number: int) -> Path:
        """Return the path of a round."""
        return self.folder / "rounds" / str(number)

    def look_alikes(self, number: int) -> list[list[str]]:
        """Return the ids of each group of look-alikes of a round; none if it has no such file."""
        found: dict[str, list[str]] = {}
        for row, _ in read_rows(self.round_folder(number) / LOOK_ALIKES, ("group", "id")):
            found.setdefault(row["group"], []).append(row["id"])
        return list(found.values())

    def worth_auditing(self, kind: str) -> set[str]:
        """Return the ids of the points of which random ones audit.

        By the latest round that asks for some, or the latest model that accepts labels; none if it names none.
        """
        latest = self.latest_with(kind, WORTH_AUDITING if kind == "rounds" else ACCEPTED)
        return set() if latest is None else {row["id"] for row, _ in read_rows(latest / WORTH_AUDITING, ("id",))}

    def latest_with(self, kind: str, name: str) -> Path | None:
        """Return the path of the latest round or model that has a file of this name; None if there is none."""
        folders = (path.parent for path in (self.folder / kind).glob(f"*/{name}") if path.parent.name.isdigit())
        return max(folders, key=lambda path: int(path.name), default=None)

    def next_folder(self, kind: str) -> Path:
        """Return the path of the next round or model, which is not there yet. `kind` is "rounds" or "learned"."""
        numbers = [int(path.name) for path in (self.folder / kind).glob("*") if path.name.isdigit()]
        return self.folder / kind / str(max(numbers, default=0) + 1)

    def latest(self, kind: str) -> Path | None:
        """Return the path of the latest round or model; None if there is none."""
        number = int(self.next_folder(kind).name) - 1
        return self.folder / kind / str(number) if number else None

    def write_points(self, ids: Sequence[str], copy_of: Mapping[str, str]) -> None:
        """Write the state of every point."""
        asked = {item for made in self.rounds() for item in made.asked}
        answers = self.log.current()
        lines = [("id", "state", "copy_of")]
        for item in ids:
            answer = answers.get(item) or answers.get(copy_of.get(item, ""))
            state = answer.state if answer is not None else "asked" if item in asked else "unlabelled"
            lines.append((item, state, copy_of.get(item, "")))
        store.write_csv(self.folder / POINTS, lines)

    def ids(self) -> list[str]:
        """Return the ids of all points, as they were read last."""
        try:
            with (self.folder / POINTS).open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
                rows = csv.reader(lines)
                place = next(rows, []).index("id")
                return [row[place] for row in rows if row]
        except (OSError, ValueError, IndexError) as error:
            raise DataError(
                f"{self.folder / POINTS}: expected the list of points, found none; make it again with "
                f"gpussl choose {quote(str(self.folder))}"
            ) from error

    def answer(self, labels: Mapping[str, str], by: str) -> int:
        """Take labels, on the disk when this returns. Return the number of those that are new or different."""
        known = self.labels()
        number = len(self.rounds())
        new = [Answer(item, label, by=by, round=number) for item, label in labels.items() if known.get(item) != label]
        self.log.append(new)
        return len(new)


def write_round(folder: Path, asked: Round) -> None:
    """Write what was asked, and why.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_round(Path(folder), Round(1, {"a.png": "random"}, ["a.png"]))
    ...     [path.name for path in Path(folder).iterdir()]
    ['round.json']
    """
    store.write_text(folder / "round.json", json.dumps(dataclasses.asdict(asked), indent=1))


def remembered(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that hold for each task on a project: those of stages, classes and the random sample.

    >>> remembered(["task=choose", "represent=[embedding]", "represent.embedding.model=a.onnx", "n_labels=9", "seed=1"])
    ['represent=[embedding]', 'represent.embedding.model=a.onnx', 'seed=1']
    """
    return [text for text in overrides if root_of(text) in REMEMBERED]


def root_of(override: str) -> str:
    """Return the first name of an override.

    >>> root_of("represent.embedding.model=a.onnx"), root_of("seed=1")
    ('represent', 'seed')
    """
    return override.partition("=")[0].partition(".")[0]


def create(folder: Path, data: Mapping[str, Any], settings: Sequence[str] = ()) -> Project:
    """Create a project.

    Raises
    ------
    ConfigError
        Something is in the folder already.

    Examples
    --------
    >>> create(Path("."), {"choice": "auto"})
    Traceback (most recent call last):
    gpussl.errors.ConfigError: .: expected no file or folder of this name, found one; name another with project=...
    """
    if folder.is_dir() and all(
        path.name in (LOCK, DATA) or path.name.endswith(store.PART) for path in folder.iterdir()
    ):
        pass  # a process that was killed has left it
    elif os.path.lexists(folder):
        raise ConfigError(
            f"{folder}: expected no file or folder of this name, found one; name another with project=..."
        )
    folder.mkdir(parents=True, exist_ok=True)
    written = {"gpussl": 1, "data": dict(data), **({"settings": list(settings)} if settings else {})}
    store.write_text(folder / SETTINGS, OmegaConf.to_yaml(OmegaConf.create(written)))
    return opened(folder)


def is_project(folder: Path) -> bool:
    """Return whether a folder is a project.

    >>> is_project(Path("nowhere"))
    False
    """
    return (folder / SETTINGS).is_file()


def opened(folder: Path) -> Project:
    """Open a project.

    Raises
    ------
    ConfigError
        There is none.
    DataError
        Its file of settings is damaged.

    Examples
    --------
    >>> opened(Path("nowhere"))
    Traceback (most recent call last):
    gpussl.errors.ConfigError: nowhere: expected a project, found none; make one with gpussl choose PATH
    """
    if not is_project(folder):
        raise ConfigError(f"{folder}: expected a project, found none; make one with gpussl choose PATH")
    try:
        read: Any = OmegaConf.to_container(OmegaConf.load(folder / SETTINGS))
        data = {str(name): value for name, value in read["data"].items()}
        if not isinstance(data["choice"], str):
            raise TypeError("choice is no text")
        settings = tuple(map(str, read.get("settings") or ()))
        if remembered(settings) != list(settings):
            raise ValueError(f"settings are for {', '.join(REMEMBERED)}")
    except Exception as error:  # whatever YAML raises
        found = str(error).splitlines()[0]
        raise DataError(f"{folder / SETTINGS}: expected the settings of a project, found others ({found})") from error
    return Project(folder, data, settings)


def latest_model(folder: Path) -> Path:
    """Return the file of the latest model of a project. ConfigError if it has none.

    >>> latest_model(Path("nowhere"))
    Traceback (most recent call last):
    gpussl.errors.ConfigError: nowhere: expected a project, found none; make one with gpussl choose PATH
    """
    found = opened(folder).latest("learned")
    if found is None:
        raise ConfigError(f"{folder}: expected a model, found none; make one with gpussl learn {quote(str(folder))}")
    return found / MODEL


def discard(made: Project) -> None:
    """Remove a new project in which nothing was asked yet.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     discard(create(Path(folder, "mine.gpussl"), {"choice": "auto"}))
    ...     list(Path(folder).iterdir())
    []
    """
    for name in (SETTINGS, POINTS, ANSWERS, LOCK):
        (made.folder / name).unlink(missing_ok=True)
    for folder in (made.folder / "rounds", made.folder):
        with contextlib.suppress(OSError):  # not there, or something else is in it
            folder.rmdir()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from choosing and learning in a project during the block. ConfigError if one is at work.

    Answers are taken all the time: their file has a lock of its own.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, locked(Path(folder)):
    ...     try:
    ...         with locked(Path(folder)):
    ...             pass
    ...     except ConfigError as error:
    ...         print(str(error).removeprefix(folder))
    : expected no other gpussl at work in the project, found one; wait until it is done
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        take_lock(file, f"{folder}: expected no other gpussl at work in the project, found one; wait until it is done")
        yield


def take_lock(file: IO[str], complaint: str) -> None:
    """Lock a file until it is closed. ConfigError with the complaint if another process has locked it.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w") as one, open(one.name) as other:
    ...     take_lock(one, "")
    ...     take_lock(other, "taken")
    Traceback (most recent call last):
    gpussl.errors.ConfigError: taken
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(complaint) from None


@contextlib.contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """Yield a folder to work in, which gets its name at the end of the block. What was not finished is removed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with whole(Path(place, "1")) as work:
    ...         _ = (work / "a.txt").write_text("all of it")
    ...     [path.name for path in Path(place).iterdir()]
    ['1']
    """
    work = folder.with_name(f".{folder.name}.part")
    if work.exists():  # a process that was killed has left it; the project is locked
        shutil.rmtree(work)
    work.mkdir(parents=True)
    try:
        yield work
        work.rename(folder)
    finally:
        if work.exists():
            shutil.rmtree(work)


def header(first: Sequence[str], fields: Sequence[str]) -> list[str]:
    """Return the names of columns, with another name for a field that is called as one of the first.

    >>> header(("id", "label"), ("weight", "label"))
    ['id', 'label', 'weight', 'label_']
    """
    return [*first, *(f"{name}_" if name in first else name for name in fields)]


def read_rows(path: Path, header: Sequence[str]) -> Iterator[tuple[dict[str, str], list[tuple[str, str]]]]:
    """Yield the rows of a CSV file of ours: the columns of the header by name, and the names and values of the others.

    There are none if the file is not there, or has another header: somebody may have changed it.

    >>> list(read_rows(Path("nowhere.csv"), ["id"]))
    []
    """
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            lines = csv.reader(file)
            names = next(lines, [])
            if tuple(names[: len(header)]) != tuple(header):
                return
            more = names[len(header) :]
            for cells in lines:
                if len(cells) == len(names):
                    row = dict(zip(header, cells[: len(header)], strict=True))
                    yield row, list(zip(more, cells[len(header) :], strict=True))
    except (OSError, csv.Error):
        return
