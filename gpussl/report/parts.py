"""The parts of a report. A task returns a list of them, so the report need not know the task."""

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
        Whether it answers the user's question. Answers are bold on the page and come last on the terminal.

    Examples
    --------
    >>> Words("Buy 500 more labels.", is_answer=True).text
    'Buy 500 more labels.'
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
        Number of leading columns that the terminal aligns to the left; the others are aligned to the right.
    on_page : bool
        Whether the table is on the page, and not only on the terminal.

    Examples
    --------
    >>> Table("Stages", ("stage", "device", "seconds"), [("cluster", "cpu", "1.2")], on_page=False).rows
    [('cluster', 'cpu', '1.2')]
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
        Name of its file, without the suffix.
    title : str
    draw : callable
        Takes the module `gpussl.report.figures`, which is imported only then, and returns matplotlib's figure.

    Examples
    --------
    >>> from gpussl.report import figures
    >>> lines = {"knn": [figures.CurvePoint(x, 0.9, None, None) for x in (10, 20)]}
    >>> picture = Picture("curve", "Accuracy by labels", lambda figures: figures.curve(lines, "labels"))
    >>> [axes.get_xlabel() for axes in picture.draw(figures).axes]
    ['labels']
    """

    name: str
    title: str
    draw: Callable[[Any], Any]


@dataclass(frozen=True)
class File:
    """A text file for programs.

    Attributes
    ----------
    name : str
    text : str

    Examples
    --------
    >>> File("budget.json", "{}").name
    'budget.json'
    """

    name: str
    text: str


Part = Words | Table | Picture | File
