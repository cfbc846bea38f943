"""Represent: raw values to the features that everything after works on, on the device."""

from dataclasses import dataclass

from array_api_compat import array_namespace

from gpussl.arrays import principal_axes, row_blocks
from gpussl.errors import ConfigError
from gpussl.params import check, param
from gpussl.records import Array
from gpussl.rows import ScaledRows, fits, refuse_beyond


@dataclass(frozen=True)
class Pixels:
    """Pixels scaled to 0..1, as float32."""

    def fit_transform(
        self, X_train: Array, X_test: Array, max_value: float, seed: int, memory_limit: int | None = None
    ) -> tuple[Array, Array]:
        """(n, d) and (n_test, d) raw values from 0 to `max_value` -> the same as float32 from 0 to 1.

        Training points that are too many for `memory_limit`, in bytes, become `ScaledRows`.
        """
        refuse_beyond(memory_limit, X_test.shape, "the test points", "take fewer")
        return _scaled(X_train, max_value, memory_limit), _scaled(X_test, max_value)


@dataclass(frozen=True)
class PCA:
    """The first principal components of the scaled pixels of the training points.

    Parameters
    ----------
    n_components : int
    """

    n_components: int = param(50, ge=1)

    def __post_init__(self) -> None:
        check(self)

    def fit_transform(
        self, X_train: Array, X_test: Array, max_value: float, seed: int, memory_limit: int | None = None
    ) -> tuple[Array, Array]:
        """(n, d) and (n_test, d) raw values from 0 to `max_value` -> (n, n_components) and (n_test, n_components).

        Raises
        ------
        ConfigError
            More components than features or training points, or than `memory_limit`, in bytes, allows.
        """
        if self.n_components > min(X_train.shape):
            raise ConfigError(
                f"represent.n_components: expected at most {min(X_train.shape)}, the smaller of training points and "
                f"features, found {self.n_components}"
            )
        refuse_beyond(memory_limit, X_test.shape, "the test points", "take fewer")
        shape = (X_train.shape[0], self.n_components)
        refuse_beyond(memory_limit, shape, "represent=pca", "lower represent.n_components")
        xp = array_namespace(X_train)
        train, test = _scaled(X_train, max_value, memory_limit), _scaled(X_test, max_value)
        mean, _, axes = principal_axes(train)
        mean, axes = xp.astype(mean, xp.float32), xp.astype(axes[:, : self.n_components], xp.float32)
        return tuple(
            xp.concat([(X[rows, :] - mean) @ axes for rows in row_blocks(X.shape[0], 4 * X.shape[1])])
            for X in (train, test)
        )


def _scaled(X: Array, max_value: float, memory_limit: int | None = None) -> Array:
    xp = array_namespace(X)
    if memory_limit is not None and not fits(memory_limit, X.shape):
        return ScaledRows(X, max_value, memory_limit)
    scaled = xp.astype(X, xp.float32)
    scaled /= max_value
    return scaled
