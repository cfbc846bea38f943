"""UMAP: an embedding in few dimensions that preserves neighbourhoods."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from gpussl import backend
from gpussl.errors import ConfigError
from gpussl.numeric.arrays import placed_like
from gpussl.numeric.rows import in_memory
from gpussl.protocols import Representation, Transform
from gpussl.records import Array, OnProgress
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class UMAP(Representation):
    """The UMAP embedding of the training points, by umap-learn or cuML; `FittedUMAP` embeds other points.

    Parameters
    ----------
    n_components : int
        Number of dimensions.
    n_neighbors : int
        Number of neighbours of each point in UMAP's graph.
    min_dist : float
        Smallest distance between embedded points. 0 allows the densest clusters.

    References
    ----------
    McInnes, Healy, Melville, "UMAP: Uniform Manifold Approximation and Projection", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> UMAP(n_neighbors=15).fit(np.zeros((10, 4)), seed=0)
    Traceback (most recent call last):
        ...
    gpussl.errors.ConfigError: represent.umap.n_neighbors: expected at most 9 for 10 training points, found 15
    """

    is_costly: ClassVar[bool] = True
    n_components: int = param(10, ge=1)
    n_neighbors: int = param(15, ge=2)
    min_dist: float = param(0.0, ge=0, le=1)

    def __post_init__(self) -> None:
        check(self)

    def fit(self, X: Array, seed: int, on_progress: OnProgress | None = None) -> "FittedUMAP":
        """Fit to (n, d) points.

        Raises
        ------
        ConfigError
            There are more neighbours or dimensions than other points.
        """
        n = X.shape[0]
        for name, most in (("n_neighbors", n - 1), ("n_components", n - 2)):  # the spectral start needs one more
            if getattr(self, name) > most:
                raise ConfigError(
                    f"represent.umap.{name}: expected at most {most} for {n} training points, found "
                    f"{getattr(self, name)}"
                )
        X = in_memory(X, "represent=umap", "leave it out")
        xp, twin = array_namespace(X), backend.of(X)
        embedding = twin.umap(X, self.n_components, self.n_neighbors, self.min_dist, seed)
        return FittedUMAP(X, xp.astype(embedding, xp.float32, copy=False), self.n_neighbors)


@dataclass(frozen=True, eq=False)
class FittedUMAP(Transform):
    """The training points (n, d) and their coordinates (n, n_components).

    UMAP's own transform cannot be saved without a pickle, and is random. Instead, a new point gets the mean coordinates
    of its nearest training points, weighted by inverse distance, which is the starting point of UMAP's own transform. A
    duplicate of a training point gets the coordinates of that point.

    Examples
    --------
    >>> import numpy as np
    >>> fitted = FittedUMAP(points=np.array([[0.0], [4.0]]), embedding=np.array([[-1.0], [1.0]]), n_neighbors=2)
    >>> fitted.transform(np.array([[0.0], [1.0], [2.0]])).tolist()
    [[-1.0], [-0.5], [0.0]]
    """

    kind: ClassVar[str] = "umap"
    points: Array
    embedding: Array
    n_neighbors: int

    def transform(self, X: Array) -> Array:
        """Map (m, d) points to (m, n_components)."""
        xp, twin = array_namespace(X), backend.of(X)
        points, embedding = placed_like(self.points, X), placed_like(self.embedding, X)
        queries = in_memory(X, "represent=umap", "leave it out")
        found, distances = twin.nearest_neighbors(points, queries, self.n_neighbors)
        distances = xp.astype(distances, xp.float32, copy=False)
        weights = _inverse_distances(distances)
        near = xp.reshape(xp.take(embedding, xp.reshape(found, (-1,)), axis=0), (*found.shape, embedding.shape[1]))
        return xp.sum(weights[:, :, None] * near, axis=1)

    def transform_fitted(self, X: Array) -> Array:
        """The coordinates of the training points from the fit."""
        return placed_like(self.embedding, X)


def _inverse_distances(distances: Array) -> Array:
    """(m, k) distances -> (m, k) weights with sum 1: inverse distances, or equal weights for any distances of 0."""
    xp = array_namespace(distances)
    is_copy = distances == 0
    inverse = xp.where(is_copy, 0.0, 1 / xp.where(is_copy, 1.0, distances))
    weights = xp.where(xp.any(is_copy, axis=1)[:, None], xp.astype(is_copy, distances.dtype), inverse)
    return weights / xp.sum(weights, axis=1)[:, None]
