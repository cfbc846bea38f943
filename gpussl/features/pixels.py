"""The scaled pixels, however the points are represented."""

from dataclasses import dataclass
from typing import ClassVar

from gpussl.features.represented import Represented


@dataclass(frozen=True)
class Pixels(Represented):
    """The scaled pixels, however the points are represented for clustering, choosing and propagating.

    Examples
    --------
    >>> Pixels().of_pixels
    True
    """

    kind: ClassVar[str] = "pixels"
    of_pixels: ClassVar[bool] = True
