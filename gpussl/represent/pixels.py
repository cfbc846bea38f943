"""Pixels: the first step of every representation."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from gpussl.numeric.rows import ScaledRows, fits
from gpussl.protocols import Representation, Transform
from gpussl.records import Array, OnProgress


@dataclass(frozen=True)
class Pixels(Representation, Transform):
    """The points as they are.

    Examples
    --------
    >>> import numpy as np
    >>> Pixels().fit(np.eye(2), seed=0).transform(np.eye(2)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    kind: ClassVar[str] = "pixels"
    keeps_images: ClassVar[bool] = True

    def fit(self, X: Array, seed: int, on_progress: OnProgress | None = None) -> "Pixels":
        """Return the step itself: nothing is learnt."""
        return self

    def transform(self, X: Array) -> Array:
        """Return the points unchanged."""
        return X


def scale(X: Array, max_value: float | None, on_disk_beyond: int | None = None) -> Array:
    """Scale (n, d) raw values from 0 to `max_value` to float32 from 0 to 1; without a range, only convert them.

    Points that do not fit in the memory limit `on_disk_beyond`, in bytes, become `ScaledRows`.

    Examples
    --------
    >>> import numpy as np
    >>> scale(np.array([[0, 51, 255]], dtype=np.uint8), 255).tolist()
    [[0.0, 0.20000000298023224, 1.0]]
    """
    if not fits(on_disk_beyond, X.shape):
        assert on_disk_beyond is not None  # noqa: S101 - for the type checker: without a limit everything fits
        return ScaledRows(X, 1.0 if max_value is None else max_value, on_disk_beyond)
    xp = array_namespace(X)
    scaled = xp.astype(X, xp.float32)
    if max_value is not None:
        scaled /= max_value
    return scaled
