"""Points that a model is scored on while it is trained: to do as a study did, not to be honest."""

from collections.abc import Callable
from dataclasses import dataclass

from gpussl.records import Array


@dataclass(frozen=True)
class Watch:
    """Points that a model is scored on while it is trained.

    Attributes
    ----------
    X : (m, d) array
    score : callable
        Takes the (m,) classes predicted for them and answers the accuracy.
    fingerprint : str
        Names the points and their labels.
    """

    X: Array
    score: Callable[[Array], float]
    fingerprint: str = ""
