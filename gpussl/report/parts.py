"""The parts of a report. A task returns a list of them, so the report need not know the task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


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


@dataclass(frozen=True)
class Links:
    """A list of other pages.

    Attributes
    ----------
    title : str
    rows : sequence of (str, str, str)
        The address, what it is called, and what there is to say of it.

    Examples
    --------
    >>> Links("Jobs", [("0/report.html", "0", "finished")]).title
    'Jobs'
    """

    title: str
    rows: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Tile:
    """A point as a person sees it.

    Attributes
    ----------
    name : str
    note : str
    picture : (height, width) or (height, width, 3) uint8 array, or None
    text : str

    Examples
    --------
    >>> Tile("a.png", note="cat").text
    ''
    """

    name: str
    note: str = ""
    picture: np.ndarray | None = None
    text: str = ""


@dataclass(frozen=True)
class Gallery:
    """Points side by side.

    Attributes
    ----------
    title : str
    tiles : sequence of Tile
    caption : str

    Examples
    --------
    >>> Gallery("What to label", [Tile("a.png")]).caption
    ''
    """

    title: str
    tiles: Sequence[Tile]
    caption: str = ""


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix, whose cells show their points.

    Attributes
    ----------
    title : str
    names : sequence of str
        The k classes.
    counts : (k, k) sequence of sequences of int
        Points by class and predicted class.
    tiles : dict of (int, int) to sequence of Tile
        Points of a cell, if it shows some.
    caption : str

    Examples
    --------
    >>> Confusion("Confusions", ["cat", "dog"], [[3, 1], [0, 2]], {(0, 1): [Tile("a.png")]}).counts[0]
    [3, 1]
    """

    title: str
    names: Sequence[str]
    counts: Sequence[Sequence[int]]
    tiles: Mapping[tuple[int, int], Sequence[Tile]]
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Map:
    """All points in a plane.

    Attributes
    ----------
    title : str
    xy : (n, 2) array
    ids : sequence of str
    colours : dict of str to ((n,) array, sequence of str)
        What the colours may show: numbers of classes with their names, or levels from 0 to 1 without names.
    pictures : dict of int to array
        Of some points: pixels as in `Tile`.
    caption : str

    Examples
    --------
    >>> Map("Map", np.zeros((2, 2)), ["a", "b"], {"class": (np.array([0, 1]), ["cat", "dog"])}, {}).ids
    ['a', 'b']
    """

    title: str
    xy: np.ndarray
    ids: Sequence[str]
    colours: Mapping[str, tuple[np.ndarray, Sequence[str]]]
    pictures: Mapping[int, np.ndarray]
    caption: str = ""


Part = Words | Table | Picture | File | Links | Gallery | Confusion | Map
