"""Select points at random."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gpussl import seeds
from gpussl.records import Answers, Array, Clustering
from gpussl.select.checks import Budget, like, unanswered


@dataclass(frozen=True)
class Random(Budget):
    """Points drawn uniformly at random, without replacement.

    Parameters
    ----------
    n_labels : int
        Total number of labels.

    Examples
    --------
    >>> from gpussl.cluster.none import NoClustering
    >>> X, nothing = np.zeros((100, 2)), Answers(np.zeros(0, dtype=int), np.zeros(0, dtype=int))
    >>> Random(n_labels=3).select(X, NoClustering().fit(X, seed=0), nothing, n=None, seed=0).tolist()
    [6, 54, 97]
    """

    name: ClassVar[str] = "random"
    is_random: ClassVar[bool] = True

    def select(self, X: Array, clustering: Clustering, answers: Answers, n: int | None, seed: int) -> Array:
        """See `Selection.select`.

        Raises
        ------
        ConfigError
            There are fewer points than labels.
        """
        if n is None:
            self.check_size(clustering.labels.shape[0])
        others = unanswered(clustering.labels.shape[0], answers)
        rng = seeds.generator(seed, f"random after {len(answers)}" if len(answers) else "random")
        drawn = rng.choice(len(others), size=min(self.n_next(answers, n), len(others)), replace=False)
        return like(others[np.sort(drawn)], clustering)
