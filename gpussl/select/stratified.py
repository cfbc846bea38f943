"""As many labels of each class."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gpussl import backend, seeds
from gpussl.errors import ConfigError
from gpussl.records import Answers, Array, Clustering
from gpussl.select.checks import Budget, like


@dataclass(frozen=True)
class Stratified(Budget):
    """As many points of each class, drawn at random: the labels that most publications on few labels learn from.

    It stands for a person who is asked for examples of each class and knows where to find some. Whoever has to look at
    images in turn until each class has been seen pays for more than `n_labels`, so only what was chosen so as well is
    to be compared with it.
    """

    name: ClassVar[str] = "stratified"
    knows_classes: ClassVar[bool] = True

    def select(self, X: Array, clustering: Clustering, answers: Answers, n: int | None, seed: int) -> Array:
        """Points drawn at random, as many of each class. The answers are the labels of all points.

        Raises
        ------
        ConfigError
            More labels than points, not as many of each class, or more of a class than there are.
        """
        self.check_size(clustering.labels.shape[0])
        labels, wanted = backend.of(answers.labels).to_numpy(answers.labels), self.n_labels if n is None else n
        _, of_point, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        n_classes, rarest = len(sizes), int(sizes.min())
        n_each, left = divmod(wanted, n_classes)
        if left or n_each > rarest:
            raise ConfigError(
                f"select.n_labels: expected a multiple of the number of classes, {n_classes}, and at most {rarest} for "
                f"each, which the rarest has, found {wanted}"
            )
        rng = seeds.generator(seed, "stratified")
        drawn = [rng.choice(np.flatnonzero(of_point == c), n_each, replace=False) for c in range(n_classes)]
        return like(np.sort(np.concatenate(drawn)), clustering)
