"""The first labels."""

from dataclasses import dataclass
from typing import ClassVar

from gpussl.records import Answers, Array, Clustering
from gpussl.select.checks import Budget, like, unanswered


@dataclass(frozen=True)
class First(Budget):
    """The first points in the order of the data: random only if that order is.

    Parameters
    ----------
    n_labels : int
        In all.
    """

    name: ClassVar[str] = "first"

    def select(self, X: Array, clustering: Clustering, answers: Answers, n: int | None, seed: int) -> Array:
        """See `Selection.select`. ConfigError if there are fewer points than labels."""
        if n is None:
            self.check_size(clustering.labels.shape[0])
        return like(unanswered(clustering.labels.shape[0], answers)[: self.n_next(answers, n)], clustering)
