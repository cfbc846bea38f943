"""A person's answers: a file that only grows, so that no answer is ever lost."""

import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpussl.errors import DataError
from gpussl.runtime import console

LABELLED, SKIPPED, UNUSABLE, UNDONE = "labelled", "skipped", "unusable", "undone"
STATES = (LABELLED, SKIPPED, UNUSABLE, UNDONE)


@dataclass(frozen=True)
class Answer:
    """What a person said about a point.

    Attributes
    ----------
    id : str
    label : str
        The class; empty unless the state is "labelled".
    state : {"labelled", "skipped", "unusable", "undone"}
        "undone" takes back what the same person said last about the point; what was said before that counts again.
    by : str
        Who or which file said it.
    round : int
    at : str
        Time in ISO format; by default now.
    key : str
        Names the answer, if it may arrive twice: the second is not taken. Those of one gesture share what is before
        the first slash.
    settles : bool
        Whether it was given on a second look, after which the point is not doubted any more.

    Examples
    --------
    >>> Answer("a.png", "cat").state
    'labelled'
    """

    id: str
    label: str = ""
    state: str = LABELLED
    by: str = ""
    round: int = 0
    at: str = ""
    key: str = ""
    settles: bool = False


class History:
    """What the entries of the file say, one after another.

    Attributes
    ----------
    keys : set of str
        Of all answers so far.
    renamed : dict of str to str
        The names that classes were given, by the ones before.

    Examples
    --------
    >>> history = History()
    >>> for label, state in [("cat", LABELLED), ("dog", LABELLED), ("", UNDONE)]:
    ...     history.add({"id": "a.png", "label": label, "state": state})
    >>> history.current()["a.png"].label
    'cat'
    """

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.renamed: dict[str, str] = {}
        self._said: dict[str, list[Answer]] = {}  # all that counts or counted about each point, the last one last
        self._given: dict[str, list[Answer]] = {}  # what each person may take back

    def add(self, entry: dict[str, Any]) -> None:
        """Add an entry: an answer, or another name for a class."""
        if "rename" in entry:
            self._rename(entry["rename"], entry["to"])
            return
        answer = Answer(**{name: entry[name] for name in entry if name in _FIELDS})
        if answer.key:
            self.keys.add(answer.key)
        if answer.state == UNDONE:
            self._take_back(answer)
            return
        said = self._said.pop(answer.id, [])  # the last answer comes last
        self._said[answer.id] = [*said, answer]
        self._given.setdefault(answer.by, []).append(answer)

    def current(self) -> dict[str, Answer]:
        """Return the answers that count, by id, in the order in which they were given."""
        return {item: said[-1] for item, said in self._said.items()}

    def disputed(self) -> dict[str, list[str]]:
        """Return what people say, such as "cat (anna)", of points that they label differently, by id.

        A point on which somebody has decided on a second look is none of these.
        """
        found = {item: _by_person(said) for item, said in self._said.items() if len(said) > 1 and not said[-1].settles}
        return {
            item: [f"{label} ({by})" for by, label in labels.items()]
            for item, labels in found.items()
            if len(set(labels.values())) > 1
        }

    def gesture(self, by: str, name: str = "") -> list[Answer]:
        """Return the answers that a person gave in a gesture, as far as they are not taken back.

        Without a name, those of the last one; empty if there is none.
        """
        given = self._given.get(by, [])
        name = name or (_gesture(given[-1]) if given else "")
        return [answer for answer in given if _gesture(answer) == name] if name else given[-1:]

    def _take_back(self, undone: Answer) -> None:
        said, given = self._said.get(undone.id, []), self._given.get(undone.by, [])
        _remove_last(given, lambda answer: answer.id == undone.id)
        _remove_last(said, lambda answer: answer.by == undone.by)
        if not said:
            self._said.pop(undone.id, None)

    def _rename(self, old: str, new: str) -> None:
        self.renamed[old] = new
        self.renamed.pop(new, None)
        for answers in (*self._said.values(), *self._given.values()):
            answers[:] = [
                dataclasses.replace(answer, label=new) if answer.label == old else answer for answer in answers
            ]


class AnswerLog:
    """The answers of a project in a file of JSON lines.

    Corrections are new lines: the last one for a point counts. A line is on the disk before `append` returns. A line
    that a killed process has written in part is passed over.

    Parameters
    ----------
    path : Path

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = AnswerLog(Path(folder, "answers.jsonl"))
    ...     log.append([Answer("a.png", "cat"), Answer("b.png", "dog"), Answer("a.png", "dog")])
    ...     [(answer.id, answer.label) for answer in log.current().values()]
    [('b.png', 'dog'), ('a.png', 'dog')]
    """

    _history: History
    _n_read: int
    _n_lines: int
    _last_line: bytes
    _inode: int

    def __init__(self, path: Path) -> None:
        self.path = path
        self._forget()

    def append(self, answers: Sequence[Answer]) -> None:
        """Add answers, on the disk when this returns.

        Raises
        ------
        DataError
            The file cannot be written. The answers are then not taken.
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        lines = []
        for answer in answers:
            entry = dataclasses.asdict(answer) | {"at": answer.at or now}
            kept = {name: value for name, value in entry.items() if value != "" and value is not False}
            lines.append({"id": answer.id, **kept})
        self._write(lines)

    def rename(self, old: str, new: str, by: str = "") -> None:
        """Give a class another name, in all answers so far; the name of another class merges the two."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self._write([{"rename": old, "to": new, "by": by, "at": now}])

    def current(self) -> dict[str, Answer]:
        """Return the answers that count, by id, in the order in which they were given."""
        return self.history().current()

    def history(self) -> History:
        """Return all that was said. Entries that were read before are not read again."""
        for entry in self._entries():
            self._history.add(entry)
        return self._history

    def _write(self, entries: Sequence[dict[str, Any]]) -> None:
        # surrogates stand for bytes of file names that are no UTF-8; JSON escapes them
        text = "".join(json.dumps(entry, ensure_ascii=True) + "\n" for entry in entries).encode()
        if not text:
            return
        try:
            with self._locked() as handle:
                size = os.fstat(handle).st_size
                if size and os.pread(handle, 1, size - 1) != b"\n":  # the part of a line that a killed process left
                    text = b"\n" + text
                try:
                    while text:
                        text = text[os.write(handle, text) :]
                    os.fsync(handle)
                except OSError:
                    with contextlib.suppress(OSError):
                        os.ftruncate(handle, size)  # nothing is taken, or a full disk would leave some of them
                    raise
        except OSError as error:
            raise DataError(
                f"{self.path}: expected a file that can be written, found: {error.strerror}; no answer "
                "of this call was taken"
            ) from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        is_new = not self.path.exists()
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        if is_new:
            _sync_folder(self.path.parent)
        try:
            with contextlib.suppress(OSError):  # some network file systems have no locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
        finally:
            os.close(handle)

    def _entries(self) -> list[dict[str, Any]]:
        """The entries that were not read yet; all, if the file is another."""
        try:
            with self.path.open("rb") as file:
                with contextlib.suppress(OSError):  # some network file systems have no locks
                    fcntl.flock(file, fcntl.LOCK_SH)
                inode = os.fstat(file.fileno()).st_ino
                file.seek(max(0, self._n_read - len(self._last_line)))
                if inode != self._inode or file.read(len(self._last_line)) != self._last_line:
                    file.seek(0)
                    self._forget(inode)
                content = file.read()
        except FileNotFoundError:
            self._forget()
            return []
        except OSError as error:
            raise DataError(f"{self.path}: expected a readable file of answers, found: {error.strerror}") from error
        found = []
        for line in content.splitlines(keepends=True):
            entry = _parsed(line)
            if entry is None and not line.endswith(b"\n"):
                break  # a killed process has left it: the next one goes on in a new line
            self._n_read += len(line)
            self._n_lines += 1
            self._last_line = line
            if entry is not None:
                found.append(entry)
            elif line.strip():
                console.say(f"{self.path}: line {self._n_lines} is no whole answer; it is passed over")
        return found

    def _forget(self, inode: int = 0) -> None:
        self._history, self._n_read, self._n_lines, self._last_line, self._inode = History(), 0, 0, b"", inode


_ID, *_REST = dataclasses.fields(Answer)
_FIELDS = {field.name for field in (_ID, *_REST)}


def _by_person(said: Sequence[Answer]) -> dict[str, str]:
    """The label that each person gave last. What has no key is from a file."""
    last = {answer.by: answer for answer in said if answer.key}
    return {by: answer.label for by, answer in last.items() if answer.state == LABELLED}


def _remove_last(answers: list[Answer], is_meant: Callable[[Answer], bool]) -> None:
    place = next((place for place in reversed(range(len(answers))) if is_meant(answers[place])), None)
    if place is not None:
        del answers[place]


def _gesture(answer: Answer) -> str:
    return answer.key.partition("/")[0]


def _parsed(line: bytes) -> dict[str, Any] | None:
    """An entry, or None if the line is not one."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    if "rename" in entry:
        return entry if isinstance(entry["rename"], str) and isinstance(entry.get("to"), str) else None
    has_types = all(type(entry.get(field.name, field.default)) is type(field.default) for field in _REST)
    if not has_types or not isinstance(entry.get("id"), str):
        return None
    state = entry.get("state", LABELLED)
    return entry if state in STATES and (state != LABELLED or entry.get("label")) else None


def _sync_folder(folder: Path) -> None:
    """Have a folder list a new file even after a power failure."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
