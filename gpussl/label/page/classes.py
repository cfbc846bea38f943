"""The classes of a project with their keys, in the order in which they are shown."""

import csv
import io
import string
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from gpussl.errors import DataError, InputError
from gpussl.runtime import store

SKIP, UNUSABLE, UNDO = "s", "x", "z"  # keys that do something else
FREE = [*"123456789", *(letter for letter in string.ascii_lowercase if letter not in (SKIP, UNUSABLE, UNDO))]
LONGEST = 200  # characters of a name


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
            with path.open(encoding="utf-8", newline="") as file:
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
        """Add the classes that are not known yet, each with the next free key, without writing the file."""
        for name in names:
            if name not in self._key_of:
                taken = set(self._key_of.values())
                self._key_of[name] = next((key for key in FREE if key not in taken), "")

    def add(self, name: str) -> None:
        """Add a class. InputError if its name is no name, or not allowed."""
        self.know([self.checked(name)])
        self._write()

    def rename(self, old: str, new: str) -> None:
        """Give a class another name; that of another class merges the two. Raises as `add` does."""
        new = self.checked(new)
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
        """Return the name of a class as it is kept. InputError if it is none, or not allowed.

        >>> Classes(Path("nowhere.csv")).checked("  black   bird ")
        'black   bird'
        """
        if not isinstance(name, str) or not name.strip():
            raise InputError("class: expected a name, found none")
        name = name.strip()
        if len(name) > LONGEST or any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name):
            raise InputError(f"class: expected a line of at most {LONGEST} characters, found {name[:40]!r}")
        if self._only and name not in self._only:
            raise InputError(f"class: expected one of {', '.join(self._only)}, found {name!r}")
        return name

    def _write(self) -> None:
        lines = io.StringIO()
        csv.writer(lines, lineterminator="\n").writerows([("class", "key"), *self._key_of.items()])
        store.write_text(self._path, lines.getvalue())
