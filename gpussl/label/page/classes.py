"""The classes of a project with their keys, in the order in which they are shown."""

import contextlib
import csv
import string
from collections.abc import Iterable, Mapping
from pathlib import Path

from gpussl.errors import DataError, GpusslError, InputError
from gpussl.label.names import checked_class
from gpussl.runtime import store

SKIP, UNUSABLE, UNDO = "s", "x", "z"  # keys that do something else
FREE = [*"123456789", *(letter for letter in string.ascii_lowercase if letter not in (SKIP, UNUSABLE, UNDO))]


class Classes:
    """The classes that a person may give, each with a key or none.

    Parameters
    ----------
    path : Path
        A CSV file with the columns class and key. It need not be there yet.
    only : iterable of str
        The only classes allowed; any, if empty.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     classes = Classes(Path(folder, "classes.csv"))
    ...     classes.add("cat")
    ...     classes.add("dog")
    ...     classes.set_key("dog", "d")
    ...     classes.keys()
    {'cat': '1', 'dog': 'd'}
    """

    def __init__(self, path: Path, only: Iterable[str] = ()) -> None:
        self._path = path
        self._only = tuple(only)
        self._key_of: dict[str, str] = {}
        try:
            with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
                self._key_of = {row["class"]: row["key"] or "" for row in csv.DictReader(file)}
        except FileNotFoundError:
            pass
        except (OSError, UnicodeError, csv.Error, KeyError) as error:
            raise DataError(
                f"{path}: expected a CSV file with the columns class and key, found another ({error}); remove it"
            ) from error
        self.know(self._only)

    def keys(self) -> Mapping[str, str]:
        """Return the key of each class, empty for one without, in the order to show."""
        return dict(self._key_of)

    def know(self, names: Iterable[str]) -> None:
        """Add the classes that are not known yet, each with the next free key, which it keeps."""
        if self._know(names):
            with contextlib.suppress(GpusslError, OSError):  # the keys are the same until the page ends
                self._write()

    def _know(self, names: Iterable[str]) -> bool:
        """Add classes, and return whether there are new ones."""
        new = [name for name in dict.fromkeys(names) if name not in self._key_of]
        for name in new:
            taken = set(self._key_of.values())
            self._key_of[name] = next((key for key in FREE if key not in taken), "")
        return bool(new)

    def add(self, name: object) -> None:
        """Add a class. InputError if its name is no name, or not allowed."""
        self._know([self.checked(name)])
        self._write()

    def rename(self, old: str, new: str) -> None:
        """Give a class another name; that of another class merges the two. Raises as `add` does."""
        new = self.checked(new)
        if old == new:
            return
        if old not in self._key_of:
            raise InputError(f"class: expected one of the project, found {old!r}")
        named = [(new if name == old else name, key) for name, key in self._key_of.items() if name != new]
        self._key_of = dict(named)
        self._write()

    def set_key(self, name: str, key: str) -> None:
        """Give a class a key, and take it from the class that had it; an empty one gives it none."""
        key = key.lower()
        if name not in self._key_of:
            raise InputError(f"class: expected one of the project, found {name!r}")
        if key and key not in (*FREE, "0"):
            raise InputError(f"key: expected a digit or a letter, but not {SKIP}, {UNUSABLE} or {UNDO}, found {key!r}")
        self._key_of = {
            other: key if other == name else "" if has == key else has for other, has in self._key_of.items()
        }
        self._write()

    def checked(self, name: object) -> str:
        """Return the name of a class as it is kept. InputError if it is none, or not allowed."""
        return checked_class(name, self._only)

    def _write(self) -> None:
        store.write_csv(self._path, [("class", "key"), *self._key_of.items()])
