"""Select equally many points of each class."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gpussl import backend, seeds
from gpussl.errors import ConfigError
from gpussl.records import Answers, Array, Clustering
from gpussl.select.checks import Budget, like


@dataclass(frozen=True)
class Stratified(Budget):
    """Equally many points of each class, drawn at random: the protocol of most publications on few labels.

    It simulates a person who is asked for examples of each class and knows where to find them. Finding examples of
    each class by looking at random points costs more than `n_labels`, so compare these results only with others of the
    same protocol.

    Parameters
    ----------
    n_labels : int
        Total number of labels, a multiple of the number of classes.

    Examples
    --------
    >>> from gpussl.cluster.none import NoClustering
    >>> X, classes = np.zeros((6, 2)), np.array([0, 0, 0, 0, 1, 1])
    >>> everything = Answers(np.arange(6), classes)
    >>> chosen = Stratified(n_labels=4).select(X, NoClustering().fit(X, seed=0), everything, n=None, seed=0)
    >>> np.bincount(classes[chosen]).tolist()
    [2, 2]
    """

    name: ClassVar[str] = "stratified"
    knows_classes: ClassVar[bool] = True

    def select(self, X: Array, clustering: Clustering, answers: Answers, n: int | None, seed: int) -> Array:
        """Draw equally many points of each class at random. The answers are the labels of all points.

        Raises
        ------
        ConfigError
            There are fewer points than labels, `n_labels` is not a multiple of the number of classes, or the rarest
            class is too small.
        """
        self.check_size(clustering.labels.shape[0])
        labels, wanted = backend.of(answers.labels).to_numpy(answers.labels), self.n_labels if n is None else n
        _, of_point, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        n_classes, rarest = len(sizes), int(sizes.min())
        n_each, left = divmod(wanted, n_classes)
        if left or n_each > rarest:
            raise ConfigError(
                f"select.n_labels: expected a multiple of the number of classes, {n_classes}, and at most {rarest} for "
                f"each, the size of the rarest class, found {wanted}"
            )
        rng = seeds.generator(seed, "stratified")
        drawn = [rng.choice(np.flatnonzero(of_point == c), n_each, replace=False) for c in range(n_classes)]
        return like(np.sort(np.concatenate(drawn)), clustering)
