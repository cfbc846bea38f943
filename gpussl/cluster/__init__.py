"""Cluster: a partition of the training points, from which come both what to label and how far a label reaches."""

from gpussl.cluster.assign import assign
from gpussl.cluster.consensus import consensus
from gpussl.cluster.gaussian_mixture import GaussianMixture
from gpussl.cluster.hdbscan import HDBSCAN
from gpussl.cluster.kmeans import KMeans
from gpussl.cluster.none import NoClustering
from gpussl.cluster.start import kmeans_parallel

__all__ = ["HDBSCAN", "GaussianMixture", "KMeans", "NoClustering", "assign", "consensus", "kmeans_parallel"]
