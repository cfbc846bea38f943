"""Select all points."""

from dataclasses import dataclass
from typing import ClassVar

from gpussl.protocols import Selection
from gpussl.records import Answers, Array, Clustering
from gpussl.select.checks import like, unanswered


@dataclass(frozen=True)
class All(Selection):
    """Every point.

    Examples
    --------
    >>> import numpy as np
    >>> from gpussl.cluster.none import NoClustering
    >>> X = np.zeros((4, 2))
    >>> answers = Answers(indices=np.array([1]), labels=np.array([0]))
    >>> All().select(X, NoClustering().fit(X, seed=0), answers, n=None, seed=0).tolist()
    [0, 2, 3]
    """

    name: ClassVar[str] = "all"

    def select(self, X: Array, clustering: Clustering, answers: Answers, n: int | None, seed: int) -> Array:
        """See `Selection.select`."""
        return like(unanswered(clustering.labels.shape[0], answers)[:n], clustering)
