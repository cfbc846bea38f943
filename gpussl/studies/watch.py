"""Test points that score a model during training: a flaw of a study, reproduced here."""

from collections.abc import Callable
from dataclasses import dataclass

from gpussl.records import Array


@dataclass(frozen=True)
class Watch:
    """Points that score a model during training.

    Attributes
    ----------
    X : (m, d) array
    score : callable
        Takes the predicted classes (m,) and returns the accuracy.
    fingerprint : str
        Checksum of the points and their labels.

    Examples
    --------
    >>> import numpy as np
    >>> watch = Watch(np.zeros((2, 1)), score=lambda classes: float(np.mean(classes == np.array([0, 1]))))
    >>> watch.score(np.array([0, 0]))
    0.5
    """

    X: Array
    score: Callable[[Array], float]
    fingerprint: str = ""
