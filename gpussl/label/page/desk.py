"""The desk: what is asked, what is on whose screen, and what was answered.

Points go by handles here, digests of their ids: no path ever comes from a browser, and an answer that arrives after a
restart is about the point that was shown.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gpussl.errors import GpusslError, InputError
from gpussl.label.answers import LABELLED, SKIPPED, UNDONE, UNUSABLE, Answer, AnswerLog
from gpussl.label.page.classes import Classes

ON_SCREEN = 90.0  # seconds for which a point that one screen shows is not handed out to another
IN_GROUP = 24  # points on a page of look-alikes
MOST_EVENTS = 500  # in one request
LONGEST_KEY, LONGEST_NAME = 80, 80  # characters
UNDO = "undo"


@dataclass(frozen=True)
class Doubt:
    """A labelled point of which the model says another class.

    Examples
    --------
    >>> Doubt("a.png", "dog", 0.9).predicted
    'dog'
    """

    id: str
    predicted: str
    probability: float


def handle_of(item: str) -> str:
    """Return the handle of a point.

    >>> handle_of("a.png")
    'e203797de73bf656'
    """
    return hashlib.blake2b(item.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


class Material(Protocol):
    """What a project offers to the page.

    Attributes
    ----------
    name, key : str
        Of the project: for people, and one that no other project has.
    has_pictures : bool
        Whether each point is shown as a picture.

    Examples
    --------
    >>> from gpussl.label.page.example import Fruit
    >>> material: Material = Fruit()
    >>> material.fields("fruit 0")
    [('weight', '120')]
    """

    name: str
    key: str
    has_pictures: bool

    def refresh(self) -> None:
        """Read the project again, if a round has changed it."""
        ...

    def ids(self) -> Sequence[str]:
        """The ids of all points."""
        ...

    def asked(self) -> Mapping[str, str]:
        """Why each point was asked for, by id, in the order to answer."""
        ...

    def groups(self) -> Sequence[Sequence[str]]:
        """The ids of look-alikes."""
        ...

    def doubts(self) -> Sequence[Doubt]:
        """The labelled points that the latest model doubts most, in order."""
        ...

    def fields(self, item: str) -> Sequence[tuple[str, str]]:
        """The name and the value of each field of a point."""
        ...

    def picture(self, item: str) -> tuple[bytes, str]:
        """A picture for a browser, and its media type. DataError if it cannot be read."""
        ...

    def said(self) -> Sequence[str]:
        """What the latest model is worth, in sentences."""
        ...

    def round(self) -> int:
        """The number of the latest round."""
        ...


class Desk:
    """Hands out points to screens, and takes what is said about them. Any thread may call it.

    Parameters
    ----------
    material : Material
    log : AnswerLog
    classes : Classes
    clock : callable
        Returns seconds.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from gpussl.label.page.example import fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     desk = fruit(folder)
    ...     first, second = desk.next("my screen", n=2)
    ...     saved = desk.take("anna", [{"key": "1", "item": first["item"], "state": "labelled", "label": "apple"}])
    ...     saved["saved"], desk.state()["answered"]
    (['1'], 1)
    """

    def __init__(
        self, material: Material, log: AnswerLog, classes: Classes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.material, self.classes = material, classes
        self._log, self._clock = log, clock
        self._lock = threading.RLock()
        self._item_of: dict[str, str] = {}  # by handle
        self._shown: dict[str, tuple[str, float]] = {}  # the screen that shows a point, and until when
        self._look()

    def reload(self) -> None:
        """Look at the project again, after a round."""
        with self._lock:
            self.material.refresh()
            self._look()

    def _look(self) -> None:
        """See what is there, and what is asked."""
        with self._lock:
            known = set(self.material.ids())
            self._item_of = {handle_of(item): item for item in known}
            self._known = known
            self._asked = {item: why for item, why in self.material.asked().items() if item in known}
            self._groups = [[item for item in group if item in known] for group in self.material.groups()]
            self._doubts = {doubt.id: doubt for doubt in self.material.doubts() if doubt.id in known}
            self._round = self.material.round()
            self.classes.know(sorted({answer.label for answer in self._current().values() if answer.label}))

    def answered(self) -> Collection[str]:
        """Return the ids of all points that have an answer."""
        with self._lock:
            return self._current().keys()

    def state(self) -> dict[str, Any]:
        """Return the numbers that a screen shows beside a point."""
        with self._lock:
            current = self._current()
            counts: dict[str, int] = {}
            for answer in current.values():
                if answer.state == LABELLED:
                    counts[answer.label] = counts.get(answer.label, 0) + 1
            self.classes.know(counts)
            done = [current[item] for item in self._asked if item in current]
            return {
                "project": self.material.name,
                "key": self.material.key,
                "round": self._round,
                "asked": len(self._asked),
                "answered": sum(answer.state != SKIPPED for answer in done),
                "skipped": sum(answer.state == SKIPPED for answer in done),
                "labelled": sum(counts.values()),
                "points": len(self._known),
                "classes": [
                    {"name": name, "key": key, "count": counts.get(name, 0)}
                    for name, key in self.classes.keys().items()
                ],
                "said": list(self.material.said()),
                "second_look": len(self._to_look_at(current)),
                "groups": sum(len(self._open_of(group, current)) > 1 for group in self._groups),
            }

    def next(self, screen: str, n: int = 1, have: Collection[str] = ()) -> list[dict[str, Any]]:
        """Hand out points to a screen: those not answered, then those skipped. `have` are there already."""
        with self._lock:
            current, now = self._current(), self._clock()
            for handle in have:
                if handle in self._item_of:
                    self._shown[self._item_of[handle]] = screen, now + ON_SCREEN
            found: list[str] = []
            skipped = [item for item in self._asked if item in current and current[item].state == SKIPPED]
            for item in (*(item for item in self._asked if item not in current), *skipped):
                if len(found) == n:
                    break
                if handle_of(item) not in have and self._is_free(item, screen, now):
                    found.append(item)
            return self._handed_out(found, screen, current)

    def group(self, screen: str) -> list[dict[str, Any]]:
        """Hand out look-alikes of which several have no answer; empty if there are none left."""
        with self._lock:
            current, now = self._current(), self._clock()
            for group in self._groups:
                free = [item for item in self._open_of(group, current) if self._is_free(item, screen, now)]
                if len(free) > 1:
                    return self._handed_out(free[:IN_GROUP], screen, current)
            return []

    def second_look(self, screen: str, n: int, have: Collection[str] = ()) -> list[dict[str, Any]]:
        """Hand out labelled points on which people differ, or of which the model says another class."""
        with self._lock:
            current, now = self._current(), self._clock()
            found = [
                item
                for item in self._to_look_at(current)
                if handle_of(item) not in have and self._is_free(item, screen, now)
            ]
            return self._handed_out(found[:n], screen, current)

    def take(self, by: str, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Take answers and undos, on the disk when this returns. One that came before is not taken again.

        Returns
        -------
        dict
            `saved` are the keys of those that are on the disk, `refused` the reasons by key, and `undone` the points
            that have no answer any more, or the one before.

        Raises
        ------
        InputError
            These are no events.
        DataError
            The file of answers cannot be written.
        """
        if not isinstance(by, str) or len(by) > LONGEST_NAME:
            raise InputError(f"by: expected a name of at most {LONGEST_NAME} characters, found another")
        if not isinstance(events, list) or len(events) > MOST_EVENTS:
            raise InputError(f"events: expected a list of at most {MOST_EVENTS}, found another")
        saved: list[str] = []
        refused: dict[str, str] = {}
        undone: list[str] = []
        with self._lock:
            waiting: list[Answer] = []

            def write() -> None:
                self._log.append(waiting)
                saved.extend(answer.key for answer in waiting)
                for answer in waiting:
                    self._shown.pop(answer.id, None)
                waiting.clear()

            keys = self._log.history().keys
            for event in events:
                key = event.get("key") if isinstance(event, dict) else None
                if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY:
                    raise InputError("key: expected the name of an event, found none")
                if key in keys or any(answer.key == key for answer in waiting) or key in saved:
                    saved.append(key)
                elif event.get("state") == UNDO:
                    write()
                    waiting += self._taking_back(by, key, event.get("of"))
                    undone += [answer.id for answer in waiting if answer.id]
                    write()
                else:
                    try:
                        waiting.append(self._answer(by, key, event))
                    except GpusslError as error:
                        refused[key] = str(error)
            write()
            items = self._handed_out(list(dict.fromkeys(undone)), "", self._current()) if undone else []
        return {"saved": list(dict.fromkeys(saved)), "refused": refused, "undone": items}

    def change_class(self, by: str, change: Mapping[str, Any]) -> None:
        """Add or rename a class, or change its key. InputError if that cannot be."""
        name, to = change.get("name"), change.get("to")
        with self._lock:
            if change.get("change") == "add":
                self.classes.add(name)
            elif change.get("change") == "rename" and isinstance(name, str):
                to = self.classes.checked(to)
                self.classes.rename(name, to)
                self._log.rename(name, to, by)
            elif change.get("change") == "key" and isinstance(name, str) and isinstance(to, str):
                self.classes.set_key(name, to)
            else:
                raise InputError("change: expected add, rename or key with a name, found another")

    def picture(self, handle: str) -> tuple[bytes, str]:
        """Return the picture of a point. InputError if there is none."""
        item = self._item_of.get(handle)
        if not self.material.has_pictures or item is None:
            raise InputError(f"item: expected the handle of a picture, found {handle[:40]!a}")
        return self.material.picture(item)

    def _answer(self, by: str, key: str, event: Mapping[str, Any]) -> Answer:
        handle, state = event.get("item"), event.get("state")
        item = self._item_of.get(handle) if isinstance(handle, str) else None
        if item is None:
            raise InputError("this point is not in the project any more")
        if state not in (LABELLED, SKIPPED, UNUSABLE):
            raise InputError(f"state: expected {LABELLED}, {SKIPPED} or {UNUSABLE}, found another")
        label = self._class(event.get("label")) if state == LABELLED else ""
        settles = event.get("settles") is True
        return Answer(item, label, state, by, self._round, key=key, settles=settles)

    def _class(self, name: object) -> str:
        """The class that is meant: one that was renamed meanwhile has its new name."""
        known, renamed = self.classes.keys(), self._log.history().renamed
        for _ in range(len(renamed)):
            if isinstance(name, str) and name not in known and name in renamed:
                name = renamed[name]
        return self.classes.checked(name)

    def _taking_back(self, by: str, key: str, of: object) -> list[Answer]:
        """The entries that take back a gesture of a person: the one that is named, or the last one.

        The first entry has the key, so that it is known later; it is there even if nothing can be taken back.
        """
        found = self._log.history().gesture(by, of if isinstance(of, str) else "")
        ids = [answer.id for answer in reversed(found)] or [""]
        return [
            Answer(item, "", UNDONE, by, self._round, key=key if place == 0 else f"{key}/{place}")
            for place, item in enumerate(ids)
        ]

    def _handed_out(self, items: Sequence[str], screen: str, current: Mapping[str, Answer]) -> list[dict[str, Any]]:
        """What a screen needs to know of points, which are its own for a while."""
        if screen:
            self._shown |= dict.fromkeys(items, (screen, self._clock() + ON_SCREEN))
        found = []
        said = self._log.history().disputed()
        for item in items:
            answer, doubt = current.get(item), self._doubts.get(item)
            found.append({
                "item": handle_of(item),
                "id": item,
                "why": self._asked.get(item, ""),
                "fields": [list(pair) for pair in self.material.fields(item)],
                "picture": self.material.has_pictures,
                "state": None if answer is None else answer.state,
                "label": None if answer is None else answer.label,
                "by": None if answer is None else answer.by,
                "said": said.get(item, []),
                "predicted": None if doubt is None else doubt.predicted,
                "probability": None if doubt is None else doubt.probability,
            })  # fmt: skip
        return found

    def _to_look_at(self, current: Mapping[str, Answer]) -> list[str]:
        disputed = [item for item in self._log.history().disputed() if item in self._known]
        doubted = [
            item
            for item, doubt in self._doubts.items()
            if item in current
            and current[item].state == LABELLED
            and not current[item].settles
            and current[item].label != doubt.predicted
        ]
        return list(dict.fromkeys([*disputed, *doubted]))

    def _open_of(self, group: Sequence[str], current: Mapping[str, Answer]) -> list[str]:
        return [item for item in group if item not in current]

    def _is_free(self, item: str, screen: str, now: float) -> bool:
        owner, until = self._shown.get(item, ("", 0.0))
        return owner in ("", screen) or until < now

    def _current(self) -> dict[str, Answer]:
        return self._log.history().current()
