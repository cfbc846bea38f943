"""UMAP: few dimensions in which neighbours stay neighbours."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from gpussl import backend
from gpussl.errors import ConfigError
from gpussl.numeric.rows import in_memory
from gpussl.records import Array, OnProgress
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class UMAP:
    """umap-learn's or cuML's UMAP, fitted to the training points, into which the test points are then put.

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

    def fit_transform(
        self, X_train: Array, X_test: Array, seed: int, on_progress: OnProgress | None = None
    ) -> tuple[Array, Array]:
        """(n, d) and (n_test, d) points -> (n, n_components) and (n_test, n_components).

        Raises
        ------
        ConfigError
            More neighbours or dimensions than there are other training points.
        """
        n = X_train.shape[0]
        for name, most in (("n_neighbors", n - 1), ("n_components", n - 2)):  # the spectral start needs one more
            if getattr(self, name) > most:
                raise ConfigError(
                    f"represent.umap.{name}: expected at most {most} for {n} training points, found "
                    f"{getattr(self, name)}"
                )
        X_train = in_memory(X_train, "represent=umap", "leave it out")
        xp, twin = array_namespace(X_train), backend.of(X_train)
        train, test = twin.umap(X_train, X_test, self.n_components, self.n_neighbors, self.min_dist, seed)
        return xp.astype(train, xp.float32, copy=False), xp.astype(test, xp.float32, copy=False)
