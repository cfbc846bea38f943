"""Pixels: what every representation begins with."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from gpussl.numeric.rows import ScaledRows, fits, refuse_beyond
from gpussl.records import Array, OnProgress


@dataclass(frozen=True)
class Pixels:
    """The points as they are."""

    is_costly: ClassVar[bool] = False

    def fit_transform(
        self, X_train: Array, X_test: Array, seed: int, on_progress: OnProgress | None = None
    ) -> tuple[Array, Array]:
        """(n, d) and (n_test, d) -> the same."""
        return X_train, X_test


def scale(X_train: Array, X_test: Array, max_value: float, memory_limit: int | None = None) -> tuple[Array, Array]:
    """(n, d) and (n_test, d) raw values from 0 to `max_value` -> the same as float32 from 0 to 1.

    Training points that are too many for `memory_limit`, in bytes, become `ScaledRows`.

    Raises
    ------
    ConfigError
        The test points are too many for it.
    """
    refuse_beyond(memory_limit, X_test.shape, "the test points", "take fewer")
    if not fits(memory_limit, X_train.shape):
        assert memory_limit is not None  # noqa: S101 - for the type checker: everything fits where there is none
        return ScaledRows(X_train, max_value, memory_limit), _scaled(X_test, max_value)
    return _scaled(X_train, max_value), _scaled(X_test, max_value)


def _scaled(X: Array, max_value: float) -> Array:
    xp = array_namespace(X)
    scaled = xp.astype(X, xp.float32)
    scaled /= max_value
    return scaled
