"""Select points that a model of the labels so far is unsure about, far from each other."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace

from gpussl import backend, seeds
from gpussl.records import Answers, Array, Clustering
from gpussl.runtime.params import param
from gpussl.select.checks import Budget, like, unanswered


@dataclass(frozen=True)
class Doubtful(Budget):
    """Doubtful points that differ: k-means++ seeding, weighted by doubt, among the most doubtful ones.

    Without a model there is no doubt, and the points are only spread out.

    Parameters
    ----------
    pool : float
        Number of the most doubtful points considered, in multiples of the labels asked for.

    References
    ----------
    Ash et al., "Deep batch active learning by diverse, uncertain gradient lower bounds", ICLR 2020: also k-means++.

    Examples
    --------
    >>> from gpussl.cluster.none import NoClustering
    >>> X = np.array([[0.0], [1.0], [5.0], [5.1]])
    >>> answers = Answers(np.array([0]), np.array([7]), doubt=np.array([0.0, 0.1, 0.9, 0.8]))
    >>> Doubtful(n_labels=2, pool=3).select(X, NoClustering().fit(X, seed=0), answers, n=1, seed=0).tolist()
    [2]
    """

    pool: float = param(10.0, ge=1)
    name: ClassVar[str] = "doubtful"

    def select(self, X: Array, clustering: Clustering, answers: Answers, n: int | None, seed: int) -> Array:
        """See `Selection.select`."""
        xp, twin = array_namespace(X), backend.of(X)
        n = self.n_next(answers, n)
        open_ones = unanswered(X.shape[0], answers)
        if n >= len(open_ones):
            return like(open_ones, clustering)
        if n == 0:
            return like(open_ones[:0], clustering)
        doubt = np.ones(X.shape[0]) if answers.doubt is None else twin.to_numpy(answers.doubt).astype(np.float64)
        n_considered = min(len(open_ones), int(np.ceil(self.pool * n)))
        considered = np.sort(open_ones[np.argsort(-doubt[open_ones], kind="stable")[:n_considered]])
        points = xp.astype(xp.take(X, twin.asarray(considered), axis=0), xp.float32)
        weights = twin.asarray((doubt[considered] + 1e-6).astype(np.float32))
        draws = seeds.generator(seed, "doubtful").random((n, 1)).astype(np.float32)
        chosen = np.unique(twin.to_numpy(twin.greedy_kmeans_plusplus(points, weights, twin.asarray(draws))))
        missing = np.setdiff1d(np.arange(n_considered), chosen)  # copies leave fewer points than asked for
        most = missing[np.argsort(-doubt[considered[missing]], kind="stable")[: n - len(chosen)]]
        return like(np.sort(considered[np.concatenate([chosen, most])]), clustering)
