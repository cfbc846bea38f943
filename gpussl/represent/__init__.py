"""Represent: raw values to the features that everything after works on, on the device, by a chain of steps.

`autoencoder` is imported by whoever wants it: it needs PyTorch.
"""

from gpussl.represent.pca import PCA
from gpussl.represent.pixels import Pixels, scale
from gpussl.represent.umap import UMAP

__all__ = ["PCA", "UMAP", "Pixels", "scale"]
