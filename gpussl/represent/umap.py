"""UMAP: few dimensions in which neighbours stay neighbours."""

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
    """umap-learn's or cuML's UMAP of the training points; `FittedUMAP` puts others among them.

    Parameters
    ----------
    n_components : int
        Dimensions.
    n_neighbors : int
        Of each point that are to stay near it.
    min_dist : float
        How near the nearest may come. 0 lets clusters be as dense as they are.

    References
    ----------
    McInnes, Healy, Melville, "UMAP: Uniform Manifold Approximation and Projection", 2018.
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
            More neighbours or dimensions than there are other points.
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

    UMAP's own transform cannot be saved without a pickle, and draws random numbers. Another point gets the mean of the
    coordinates of its nearest training points instead, weighted by the inverse of their distances: where UMAP's own
    begins. A training point, or a copy of one, gets its own coordinates.
    """

    kind: ClassVar[str] = "umap"
    points: Array
    embedding: Array
    n_neighbors: int

    def transform(self, X: Array) -> Array:
        """(m, d) points -> (m, n_components)."""
        xp, twin = array_namespace(X), backend.of(X)
        points, embedding = placed_like(self.points, X), placed_like(self.embedding, X)
        queries = in_memory(X, "represent=umap", "leave it out")
        found, distances = twin.nearest_neighbors(points, queries, self.n_neighbors)
        distances = xp.astype(distances, xp.float32, copy=False)
        weights = _inverse_distances(distances)
        near = xp.reshape(xp.take(embedding, xp.reshape(found, (-1,)), axis=0), (*found.shape, embedding.shape[1]))
        return xp.sum(weights[:, :, None] * near, axis=1)

    def transform_fitted(self, X: Array) -> Array:
        """The coordinates that the training points were given."""
        return placed_like(self.embedding, X)


def _inverse_distances(distances: Array) -> Array:
    """(m, k) distances -> (m, k) weights that sum to 1: their inverses, or equal ones for those that are 0."""
    xp = array_namespace(distances)
    is_copy = distances == 0
    inverse = xp.where(is_copy, 0.0, 1 / xp.where(is_copy, 1.0, distances))
    weights = xp.where(xp.any(is_copy, axis=1)[:, None], xp.astype(is_copy, distances.dtype), inverse)
    return weights / xp.sum(weights, axis=1)[:, None]
