"""Select: which points' labels to buy."""

from gpussl.select.cluster_budget import ClusterBudget
from gpussl.select.coverage import Coverage
from gpussl.select.nearest_to_centroid import NearestToCentroid
from gpussl.select.stratified import Stratified
from gpussl.select.typical import Typical
from gpussl.select.unguided import All, First, Random

__all__ = ["All", "ClusterBudget", "Coverage", "First", "NearestToCentroid", "Random", "Stratified", "Typical"]
