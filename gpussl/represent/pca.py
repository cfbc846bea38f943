"""Principal components."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from gpussl.errors import ConfigError
from gpussl.numeric.arrays import principal_axes, row_blocks
from gpussl.numeric.rows import ScaledRows, refuse_beyond
from gpussl.records import Array, OnProgress
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class PCA:
    """The first principal components of the training points.

    Parameters
    ----------
    n_components : int
    """

    is_costly: ClassVar[bool] = False
    n_components: int = param(50, ge=1)

    def __post_init__(self) -> None:
        check(self)

    def fit_transform(
        self, X_train: Array, X_test: Array, seed: int, on_progress: OnProgress | None = None
    ) -> tuple[Array, Array]:
        """(n, d) and (n_test, d) points -> (n, n_components) and (n_test, n_components); nothing is drawn at random.

        Raises
        ------
        ConfigError
            More components than features or training points, or than the memory limit of `ScaledRows` allows.
        """
        if self.n_components > min(X_train.shape):
            raise ConfigError(
                f"represent.pca.n_components: expected at most {min(X_train.shape)}, the smaller of training points "
                f"and features, found {self.n_components}"
            )
        if isinstance(X_train, ScaledRows):
            shape = (len(X_train), self.n_components)
            refuse_beyond(X_train.memory_limit, shape, "represent=pca", "lower represent.pca.n_components")
        xp = array_namespace(X_train)
        mean, _, axes = principal_axes(X_train)
        mean, axes = xp.astype(mean, xp.float32), xp.astype(axes[:, : self.n_components], xp.float32)
        train, test = (
            xp.concat([(X[rows, :] - mean) @ axes for rows in row_blocks(X.shape[0], 4 * X.shape[1])])
            for X in (X_train, X_test)
        )
        return train, test
