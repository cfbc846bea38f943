"""As many labels of each class."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace, device

from gpussl import backend, seeds
from gpussl.errors import ConfigError
from gpussl.numeric.arrays import arange_like
from gpussl.records import Array, Buy, Clustering
from gpussl.select.checks import Budget


@dataclass(frozen=True)
class Stratified(Budget):
    """As many points of each class, drawn at random: the labels that most publications on few labels learn from.

    It stands for a person who is asked for examples of each class and knows where to find some. Whoever has to look at
    images in turn until each class has been seen pays for more than `n_labels`, so only what was chosen so as well is
    to be compared with it.
    """

    name: ClassVar[str] = "stratified"
    knows_classes: ClassVar[bool] = True  # `select` takes what tells the classes of all points, and nothing is paid

    def select(self, X: Array, clustering: Clustering, seed: int, buy: Buy) -> Array:
        """Indices (n_labels,) of the points, ascending and different.

        Raises
        ------
        ConfigError
            More labels than points, not as many of each class, or more of a class than there are.
        """
        points = arange_like(clustering.labels.shape[0], clustering.labels)
        self.check_size(points.shape[0])
        answers = buy(points)
        _, of_point, sizes = np.unique(backend.of(answers).to_numpy(answers), return_inverse=True, return_counts=True)
        n_classes, rarest = len(sizes), int(sizes.min())
        n_each, left = divmod(self.n_labels, n_classes)
        if left or n_each > rarest:
            raise ConfigError(
                f"select.n_labels: expected a multiple of the number of classes, {n_classes}, and at most {rarest} for "
                f"each, which the rarest has, found {self.n_labels}"
            )
        rng = seeds.generator(seed, self.name)
        drawn = [rng.choice(np.flatnonzero(of_point == c), n_each, replace=False) for c in range(n_classes)]
        return array_namespace(points).asarray(np.sort(np.concatenate(drawn)), device=device(points))
