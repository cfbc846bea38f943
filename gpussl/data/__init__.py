"""Data: sources and formats, read into a `Dataset`."""

from gpussl.data.digits import Digits
from gpussl.data.images import IdxImages

__all__ = ["Digits", "IdxImages"]
