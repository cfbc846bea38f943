"""Logistic regression in the space of a Gaussian kernel, on the device of the data."""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace
from sklearn.exceptions import ConvergenceWarning

from gpussl import backend, seeds
from gpussl.classifier.base import SCALE, BaseClassifier
from gpussl.numeric.arrays import row_blocks, softmax, squared_distances, squared_norms
from gpussl.records import Array, OnProgress
from gpussl.runtime.params import check, param

FLOOR = 1e-6  # eigenvalues below are rounding errors, of duplicates for example


@dataclass(eq=False)
class KernelLogisticRegression(BaseClassifier):
    """Logistic regression on similarities to training points: smooth boundaries of any shape.

    The kernel is exp(-gamma ||x - z||^2). With more than `n_landmarks` training points, as many of them, drawn at
    random, span the space (Nystroem's approximation).

    Parameters
    ----------
    gamma : float
        Of the kernel; with `scale="auto"`, for points of norm 1.
    C : float
        Inverse strength of the penalty, as in scikit-learn.
    n_landmarks : int
    max_iter, tol : int, float
        As in `LogisticRegression`.
    scale : {"auto", "none"}
        With "auto" the points are centred and scaled; features in different units, each by its own deviation.
    random_state : int
        Of the landmarks.

    Attributes
    ----------
    landmarks_ : (m, d) float array
    coef_ : (n_classes, m) float array, (1, m) for two classes
        Weights of the similarities to the landmarks.
    intercept_ : (n_classes,) float array, (1,) for two classes

    References
    ----------
    Williams, Seeger, "Using the Nystroem method to speed up kernel machines", NeurIPS 2000.

    Examples
    --------
    >>> X, y = [[-3.0], [-2.0], [0.0], [1.0], [3.0], [4.0]], ["out", "out", "in", "in", "out", "out"]
    >>> KernelLogisticRegression().fit(X, y).predict([[0.5], [-2.5], [3.5]]).tolist()
    ['in', 'out', 'out']
    """

    kind: ClassVar[str] = "kernel_logistic"

    gamma: float = param(0.5, gt=0)
    C: float = param(100.0, gt=0)
    n_landmarks: int = param(1000, ge=2)
    max_iter: int = param(100, ge=1)
    tol: float = param(1e-3, gt=0)
    scale: str = SCALE
    random_state: int = 0

    def __post_init__(self) -> None:
        check(self)

    def _fit(
        self,
        X: Array,
        y: np.ndarray,
        weights: np.ndarray | None,
        groups: np.ndarray | None,
        on_progress: OnProgress | None,
    ) -> None:
        """Minimise the log-loss; groups are ignored."""
        xp, twin, (n, d) = array_namespace(X), backend.of(X), X.shape
        self.gamma_ = self.gamma if self.scale == "none" else self.gamma / d  # the mean squared norm of scaled points
        chosen = np.sort(seeds.generator(self.random_state, "landmarks").permutation(n)[: self.n_landmarks])
        self.landmarks_ = xp.take(X, twin.asarray(chosen), axis=0)
        among = xp.astype(self._similarities(self.landmarks_), xp.float64)
        values, vectors = xp.linalg.eigh(among)
        # points whose scalar products are their similarities
        whitening = xp.astype(vectors / xp.sqrt(xp.where(values > FLOOR, values, xp.inf)), X.dtype)
        estimator = twin.LogisticRegression(C=self.C, max_iter=self.max_iter, tol=self.tol)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            counted = None if weights is None else twin.asarray(weights)
            estimator.fit(self._similarities(X) @ whitening, twin.asarray(y), sample_weight=counted)
        self.coef_, self.intercept_ = estimator.coef_ @ whitening.T, estimator.intercept_

    def _similarities(self, X: Array) -> Array:
        """(n, d) -> (n, m): the kernel between points and landmarks."""
        xp, landmarks = array_namespace(X), backend.of(X).asarray(self.landmarks_)
        norms = squared_norms(landmarks)
        blocks = (X[rows, :] for rows in row_blocks(X.shape[0], 8 * landmarks.shape[0]))
        return xp.concat([
            xp.exp(-self.gamma_ * squared_distances(block, landmarks, squared_norms(block), norms)) for block in blocks
        ])  # fmt: skip

    def _predict_proba(self, X: Array) -> Array:
        xp, asarray = array_namespace(X), backend.of(X).asarray
        scores = self._similarities(X) @ asarray(self.coef_).T + asarray(self.intercept_)
        if scores.shape[1] == 1:
            scores = xp.concat([xp.zeros_like(scores), scores], axis=1)
        return softmax(scores)

    def _pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        arrays = {"landmarks_": self.landmarks_, "coef_": self.coef_, "intercept_": self.intercept_}
        return arrays, {"gamma_": self.gamma_}
