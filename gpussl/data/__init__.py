"""Data: sources and formats, read into a `Dataset`."""

from gpussl.data.csv import CsvImages
from gpussl.data.digits import Digits
from gpussl.data.images import IdxImages

__all__ = ["CsvImages", "Digits", "IdxImages"]
