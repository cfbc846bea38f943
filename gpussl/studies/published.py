"""Published figures, and the rows of ours that they belong to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONDITIONS = ("select", "propagation", "classifier", "n_clusters", "n_labels", "percentile")


@dataclass
class Published:
    """A published accuracy in percent, and the rows it belongs to: any of a list, and what is None may be anything."""

    source: str
    data: str
    select: list[str]
    propagation: str
    classifier: list[str]
    accuracy: float
    n_clusters: int | None = None
    n_labels: int | None = None
    percentile: float | None = None
    row: str = ""  # what the row is called where it was published, or in a table of several studies


def find(entries: Sequence[Published], data: str, row: Mapping[str, object]) -> Published | None:
    """The first entry that states nothing which a row does not meet.

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
    """Where the published figures come from, for people."""
    return ", ".join(dict.fromkeys(entry.source for entry in entries)) or "none known"


def _meets(found: object, stated: object) -> bool:
    return found in stated if isinstance(stated, list) else found == stated
