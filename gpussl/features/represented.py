"""The represented points."""

from dataclasses import dataclass
from typing import ClassVar

from gpussl.protocols import Features, Transform
from gpussl.records import Array, Clustering


@dataclass(frozen=True)
class Represented(Features, Transform):
    """The represented points, unchanged.

    Examples
    --------
    >>> import numpy as np
    >>> Represented().transform(np.eye(2)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    kind: ClassVar[str] = "represented"

    def fit(self, X: Array, clustering: Clustering, seed: int) -> "Represented":
        """Nothing is learnt."""
        return Represented()  # the subclass for pixels needs no transform of its own

    def transform(self, X: Array) -> Array:
        """Return the points unchanged."""
        return X
