"""Labels at random."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gpussl import seeds
from gpussl.records import Answers, Array, Clustering
from gpussl.select.checks import Budget, like, unanswered


@dataclass(frozen=True)
class Random(Budget):
    """Points drawn at random, each as likely as any other.

    Parameters
    ----------
    n_labels : int
        In all.
    """

    name: ClassVar[str] = "random"

    def select(self, X: Array, clustering: Clustering, answers: Answers, n: int | None, seed: int) -> Array:
        """See `Selection.select`.

        Raises
        ------
        ConfigError
            More labels than points.
        """
        if n is None:
            self.check_size(clustering.labels.shape[0])
        others = unanswered(clustering.labels.shape[0], answers)
        rng = seeds.generator(seed, f"random after {len(answers)}" if len(answers) else "random")
        drawn = rng.choice(len(others), size=min(self.n_next(answers, n), len(others)), replace=False)
        return like(others[np.sort(drawn)], clustering)
