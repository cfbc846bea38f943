"""Shared by all that takes labels in: the names that classes may have, and complaints about many lines."""

import unicodedata
from collections.abc import Collection, Sequence

from gpussl.errors import InputError

LONGEST = 200  # characters
SHOWN = 10  # complaints that a message has


def listed(wrong: Sequence[str]) -> str:
    """Return the first complaints about a file in a row, and how many more there are.

    >>> listed(["line 2 has no id", "line 7 has no id"])
    'line 2 has no id; line 7 has no id'
    """
    more = f"; and {len(wrong) - SHOWN:,} more" if len(wrong) > SHOWN else ""
    return "; ".join(wrong[:SHOWN]) + more


def checked_class(name: object, only: Collection[str] = ()) -> str:
    """Return the name of a class as it is kept. InputError if it is none, or not one of the only ones.

    >>> checked_class("  black   bird ")
    'black   bird'
    >>> checked_class("bird", only=["cat"])
    Traceback (most recent call last):
    gpussl.errors.InputError: class: expected one of cat, found 'bird'
    """
    if not isinstance(name, str) or not name.strip():
        raise InputError("class: expected a name, found none")
    name = name.strip()
    if len(name) > LONGEST or any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name):
        raise InputError(f"class: expected a line of at most {LONGEST} characters, found {name[:40]!a}")
    if only and name not in only:
        raise InputError(f"class: expected one of {', '.join(only)}, found {name!r}")
    return name
