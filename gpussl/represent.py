"""Represent: raw values to the features that everything after works on, on the device."""

from dataclasses import dataclass

from array_api_compat import array_namespace

from gpussl.records import Array


@dataclass(frozen=True)
class Pixels:
    """Pixels scaled to 0..1, as float32."""

    def transform(self, X: Array, max_value: float) -> Array:
        """(n, d) raw values from 0 to `max_value` -> (n, d) float32 from 0 to 1, where `X` is."""
        xp = array_namespace(X)
        return xp.astype(X, xp.float32) / max_value
