"""All labels."""

from dataclasses import dataclass
from typing import ClassVar

from gpussl.protocols import Selection
from gpussl.records import Answers, Array, Clustering
from gpussl.select.checks import like, unanswered


@dataclass(frozen=True)
class All(Selection):
    """Every point."""

    name: ClassVar[str] = "all"

    def select(self, X: Array, clustering: Clustering, answers: Answers, n: int | None, seed: int) -> Array:
        """See `Selection.select`."""
        return like(unanswered(clustering.labels.shape[0], answers)[:n], clustering)
