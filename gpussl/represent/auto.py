"""The representation that suits the data: oriented gradients for pictures, all other points as they are."""

from dataclasses import dataclass, field
from typing import ClassVar

from gpussl.protocols import Representation, Transform
from gpussl.records import Array, OnProgress
from gpussl.represent.hog import HOG
from gpussl.represent.pixels import Pixels

MIN_SIDE = 14  # pixels: in smaller pictures, a cell of gradients would be of one pixel


@dataclass(frozen=True)
class Auto(Representation):
    """Histograms of oriented gradients for pictures of at least 14 x 14 pixels; all other points as they are.

    Parameters
    ----------
    image_shape : list of int
        Height, width and, if there is more than one, channels; empty if the points are not images.

    Examples
    --------
    >>> import numpy as np
    >>> [Auto(image_shape=shape).fit(np.zeros((1, 784)), seed=0).kind for shape in ([28, 28], [])]
    ['hog', 'pixels']
    """

    takes_image_shape: ClassVar[bool] = True
    image_shape: list[int] = field(default_factory=list)

    def fit(self, X: Array, seed: int, on_progress: OnProgress | None = None) -> Transform:
        """Return the fitted step that suits the points."""
        if self.image_shape and min(self.image_shape[:2]) >= MIN_SIDE:
            return HOG(image_shape=self.image_shape).fit(X, seed, on_progress)
        return Pixels().fit(X, seed, on_progress)
