"""The scaled pixels, whatever the representation."""

from dataclasses import dataclass
from typing import ClassVar

from gpussl.features.represented import Represented


@dataclass(frozen=True)
class Pixels(Represented):
    """The scaled pixels, whatever representation clustering, selection and propagation use.

    Examples
    --------
    >>> Pixels().of_pixels
    True
    """

    kind: ClassVar[str] = "pixels"
    of_pixels: ClassVar[bool] = True
