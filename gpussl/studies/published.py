"""Published accuracies, and the rows of our results to compare with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONDITIONS = ("select", "propagation", "classifier", "n_clusters", "n_labels", "percentile")


@dataclass
class Published:
    """A published accuracy in percent, with the conditions under which it applies to a row of results.

    A list matches any of its items, and None matches anything.

    Examples
    --------
    >>> entry = Published("a paper", "mnist", ["random", "first"], "none", ["knn"], accuracy=88.0, n_labels=500)
    >>> f"{entry.source}: {entry.accuracy} % with {entry.n_labels} labels"
    'a paper: 88.0 % with 500 labels'
    """

    source: str
    data: str
    select: list[str]
    propagation: str
    classifier: list[str]
    accuracy: float
    n_clusters: int | None = None
    n_labels: int | None = None
    percentile: float | None = None
    row: str = ""  # name of the row in the publication, or in a table of several studies


def find(entries: Sequence[Published], data: str, row: Mapping[str, object]) -> Published | None:
    """Return the first entry with conditions that a row meets, or None.

    Examples
    --------
    >>> entry = Published("a paper", "digits", ["random"], "none", ["knn"], 97.0)
    >>> find([entry], "digits", {"select": "random", "propagation": "none", "classifier": "knn"}).accuracy
    97.0
    >>> find([entry], "mnist", {"select": "random", "propagation": "none", "classifier": "knn"}) is None
    True
    """
    for entry in entries:
        stated = {name: getattr(entry, name) for name in CONDITIONS if getattr(entry, name) is not None}
        if entry.data == data and all(_meets(row[name], value) for name, value in stated.items()):
            return entry
    return None


def sources(entries: Sequence[Published]) -> str:
    """List the sources of published figures, for people.

    Examples
    --------
    >>> entries = [Published("a paper", "mnist", ["random"], "none", [name], 90.0) for name in ("knn", "mlp")]
    >>> sources(entries), sources([])
    ('a paper', 'none known')
    """
    return ", ".join(dict.fromkeys(entry.source for entry in entries)) or "none known"


def _meets(found: object, stated: object) -> bool:
    return found in stated if isinstance(stated, list) else found == stated
