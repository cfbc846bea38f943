"""Histograms of oriented gradients: images are similar if their edges have similar orientations."""

from dataclasses import dataclass, field
from typing import ClassVar

from gpussl.numeric.images import image_shape_of
from gpussl.numeric.rows import in_memory
from gpussl.protocols import Representation, Transform
from gpussl.records import Array, OnProgress
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class HOG(Representation, Transform):
    """Square roots of histograms of oriented gradients over a grid of cells.

    A small shift of a line hardly changes the histograms, even if every pixel changes. See
    `gpussl.nets.gradients.OrientedGradients`.

    Parameters
    ----------
    n_cells : int
        Number of cells along each side.
    n_orientations : int
        Number of orientations over the full circle.
    blur : float
        Standard deviation, in sides of a cell, of the Gaussian that weights a gradient in the cells around it.
    image_shape : list of int
        Height, width and, if there is more than one, channels; empty for square images with one channel.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.zeros((8, 8), dtype=np.float32)
    >>> image[:, 4:] = 1  # a vertical edge: the gradient points right, in orientation 0
    >>> histograms = HOG(n_cells=2, n_orientations=4).transform(image.reshape(1, 64))
    >>> histograms.reshape(4, 2, 2).sum(axis=(1, 2)).argmax().item()
    0
    """

    kind: ClassVar[str] = "hog"
    slow_on: ClassVar[frozenset[str]] = frozenset({"cpu"})
    needs_images: ClassVar[bool] = True
    n_cells: int = param(7, ge=1)
    n_orientations: int = param(8, ge=2)
    blur: float = param(0.375, gt=0)
    image_shape: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        check(self)

    def fit(self, X: Array, seed: int, on_progress: OnProgress | None = None) -> "HOG":
        """Return the step itself: nothing is learnt. Raise ConfigError if the points are not images."""
        image_shape_of(X.shape[1], self.image_shape)
        return self

    def transform(self, X: Array) -> Array:
        """Map (n, d) pixels to (n, k) features, with k = n_cells^2 n_orientations times the number of channels."""
        from gpussl.nets.gradients import (
            OrientedGradients,  # late: PyTorch takes seconds, and the features may be cached
        )
        from gpussl.nets.tensors import map_images

        X = in_memory(X, "represent=hog", "leave it out")
        height, width, _ = image_shape_of(X.shape[1], self.image_shape)
        histograms = OrientedGradients(height, width, self.n_cells, self.n_orientations, self.blur)
        return map_images(X, self.image_shape, histograms)
