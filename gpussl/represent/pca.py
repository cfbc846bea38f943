"""Principal component analysis."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from gpussl.errors import ConfigError
from gpussl.numeric.arrays import placed_like, principal_axes, row_blocks
from gpussl.numeric.rows import ScaledRows, refuse_beyond
from gpussl.protocols import Representation, Transform
from gpussl.records import Array, OnProgress
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class PCA(Representation):
    """The first principal components of the training points.

    Parameters
    ----------
    n_components : int

    Examples
    --------
    >>> import numpy as np
    >>> line = np.array([[0, 0], [3, 4], [6, 8]], dtype=np.float32)
    >>> abs(PCA(n_components=1).fit(line, seed=0).transform(line)).tolist()
    [[5.0], [0.0], [5.0]]
    """

    n_components: int = param(50, ge=1)

    def __post_init__(self) -> None:
        check(self)

    def fit(self, X: Array, seed: int, on_progress: OnProgress | None = None) -> "FittedPCA":
        """Fit to (n, d) points; the seed is not used.

        Raises
        ------
        ConfigError
            There are more components than features or points, or than the memory limit of `ScaledRows` allows.
        """
        if self.n_components > min(X.shape):
            raise ConfigError(
                f"represent.pca.n_components: expected at most {min(X.shape)}, the smaller of training points "
                f"and features, found {self.n_components}"
            )
        if isinstance(X, ScaledRows):
            shape = (len(X), self.n_components)
            refuse_beyond(X.memory_limit, shape, "represent=pca", "lower represent.pca.n_components")
        xp = array_namespace(X)
        mean, _, axes = principal_axes(X)
        return FittedPCA(xp.astype(mean, xp.float32), xp.astype(axes[:, : self.n_components], xp.float32))


@dataclass(frozen=True, eq=False)
class FittedPCA(Transform):
    """The mean (d,) of the training points, and the axes (d, n_components).

    Examples
    --------
    >>> import numpy as np
    >>> fitted = FittedPCA(mean=np.array([1.0, 1.0]), axes=np.array([[0.6], [0.8]]))
    >>> fitted.transform(np.array([[1.0, 1.0], [4.0, 5.0]])).tolist()
    [[0.0], [5.0]]
    """

    kind: ClassVar[str] = "pca"
    mean: Array
    axes: Array

    def transform(self, X: Array) -> Array:
        """Map (n, d) points to (n, n_components)."""
        xp, mean, axes = array_namespace(X), placed_like(self.mean, X), placed_like(self.axes, X)
        return xp.concat([(X[rows, :] - mean) @ axes for rows in row_blocks(X.shape[0], 4 * X.shape[1])])
