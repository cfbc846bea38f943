"""The parts that a report is made of: a task gives a list of them, and the report need not know the task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Words:
    """A paragraph.

    Attributes
    ----------
    text : str
    is_answer : bool
        Whether it is what the user wants to know first: set off on the page, and last on the terminal.
    """

    text: str
    is_answer: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes
    ----------
    title : str
    header : sequence of str
    rows : sequence of sequences of str
    caption : str
    n_left : int
        The first so many columns are aligned to the left, the others to the right.
    on_page : bool
        Whether the page shows it too, beside the terminal.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    n_left: int = 2
    on_page: bool = True


@dataclass(frozen=True)
class Picture:
    """A figure, drawn when the report is written.

    Attributes
    ----------
    name : str
        Of its file, without the suffix.
    title : str
    draw : callable
        Makes matplotlib's figure.
    """

    name: str
    title: str
    draw: Callable[[], Any]


@dataclass(frozen=True)
class File:
    """A text file for programs.

    Attributes
    ----------
    name : str
    text : str
    """

    name: str
    text: str


Part = Words | Table | Picture | File
