"""Histograms of oriented gradients, by which images are alike if their edges run alike."""

from dataclasses import dataclass, field
from typing import ClassVar

from gpussl.nets.gradients import OrientedGradients
from gpussl.nets.tensors import image_shape_of, map_images
from gpussl.numeric.rows import in_memory
from gpussl.protocols import Representation, Transform
from gpussl.records import Array, OnProgress
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class HOG(Representation, Transform):
    """For each part of an image and each direction, the square root of how much edge runs there.

    A line that is a little elsewhere has much the same histograms, though not one pixel may be the same. See
    `gpussl.nets.gradients.OrientedGradients`.

    Parameters
    ----------
    n_cells : int
        Parts on each side.
    n_orientations : int
        Directions, all around.
    blur : float
        Standard deviation of the Gaussian by which a gradient counts for the parts it is near, in sides of a part.
    image_shape : list of int
        Height, width and, if there are several, channels; none: images are square.
    """

    kind: ClassVar[str] = "hog"
    needs_images: ClassVar[bool] = True
    n_cells: int = param(7, ge=1)
    n_orientations: int = param(8, ge=2)
    blur: float = param(0.375, gt=0)
    image_shape: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        check(self)

    def fit(self, X: Array, seed: int, on_progress: OnProgress | None = None) -> "HOG":
        """Nothing is learnt. ConfigError if the points are no images."""
        image_shape_of(X.shape[1], self.image_shape)
        return self

    def transform(self, X: Array) -> Array:
        """(n, d) pixels -> (n, k), k = n_cells^2 n_orientations, times the number of channels."""
        X = in_memory(X, "represent=hog", "leave it out")
        height, width, _ = image_shape_of(X.shape[1], self.image_shape)
        histograms = OrientedGradients(height, width, self.n_cells, self.n_orientations, self.blur)
        return map_images(X, self.image_shape, histograms)
