"""Select the first points."""

from dataclasses import dataclass
from typing import ClassVar

from gpussl.records import Answers, Array, Clustering
from gpussl.select.checks import Budget, like, unanswered


@dataclass(frozen=True)
class First(Budget):
    """The first points in the order of the data: a random sample only if that order is random.

    Parameters
    ----------
    n_labels : int
        Total number of labels.

    Examples
    --------
    >>> import numpy as np
    >>> from gpussl.cluster.none import NoClustering
    >>> X, nothing = np.zeros((5, 2)), Answers(np.zeros(0, dtype=int), np.zeros(0, dtype=int))
    >>> First(n_labels=3).select(X, NoClustering().fit(X, seed=0), nothing, n=None, seed=0).tolist()
    [0, 1, 2]
    """

    name: ClassVar[str] = "first"

    def select(self, X: Array, clustering: Clustering, answers: Answers, n: int | None, seed: int) -> Array:
        """See `Selection.select`. Raise ConfigError if there are fewer points than labels."""
        if n is None:
            self.check_size(clustering.labels.shape[0])
        return like(unanswered(clustering.labels.shape[0], answers)[: self.n_next(answers, n)], clustering)
