"""A person's answers: a file that only grows, so that no answer is ever lost."""

import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
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
        "undone" takes back what was said before.
    by : str
        Who or which file said it.
    round : int
    at : str
        Time in ISO format; by default now.

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

    def __init__(self, path: Path) -> None:
        self.path = path

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
            lines.append({name: value for name, value in entry.items() if value != ""})
        self._write(lines)

    def rename(self, old: str, new: str, by: str = "") -> None:
        """Give a class another name, in all answers so far; the name of another class merges the two."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self._write([{"rename": old, "to": new, "by": by, "at": now}])

    def current(self) -> dict[str, Answer]:
        """Return the answers that count, by id, in the order in which they were given."""
        found: dict[str, Answer] = {}
        for entry in self._entries():
            if "rename" in entry:
                for item, answer in found.items():
                    if answer.state == LABELLED and answer.label == entry["rename"]:
                        found[item] = dataclasses.replace(answer, label=str(entry["to"]))
                continue
            answer = Answer(**{name: entry[name] for name in entry if name in _FIELDS})
            found.pop(answer.id, None)  # the last answer comes last
            if answer.state != UNDONE:
                found[answer.id] = answer
        return found

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
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            with contextlib.suppress(OSError):  # some network file systems have no locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
        finally:
            os.close(handle)

    def _entries(self) -> Iterator[dict[str, Any]]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise DataError(f"{self.path}: expected a readable file of answers, found: {error.strerror}") from error
        for number, line in enumerate(content.split(b"\n"), start=1):
            entry = _parsed(line)
            if entry is not None:
                yield entry
            elif line.strip():
                console.say(f"{self.path}: line {number} is no whole answer; it is passed over")


_FIELDS = {field.name for field in dataclasses.fields(Answer)}


def _parsed(line: bytes) -> dict[str, Any] | None:
    """An entry, or None if the line is not one."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict):
        return None
    if "rename" in entry:
        return entry if isinstance(entry["rename"], str) and isinstance(entry.get("to"), str) else None
    is_answer = isinstance(entry.get("id"), str) and isinstance(entry.get("label", ""), str)
    state = entry.get("state", LABELLED)
    return entry if is_answer and state in STATES and (state != LABELLED or entry.get("label")) else None
