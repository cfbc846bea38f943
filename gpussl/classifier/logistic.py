"""Multinomial logistic regression, fitted by SciPy's L-BFGS with the points where they are."""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning

from gpussl import backend
from gpussl.classifier.weights import settle
from gpussl.records import Array, OnProgress
from gpussl.runtime.params import check, param


@dataclass(eq=False)
class LogisticRegression(ClassifierMixin, BaseEstimator):
    """Logistic regression with an L2 penalty, on the square roots of the features.

    A linear model sees what the features' scale shows it. Roots let dim pixels count for more, which on the training
    images of Fashion-MNIST is worth a point of accuracy; `power=1` leaves the features as they are.

    Parameters
    ----------
    power : float
        The features' sizes are raised to it, their signs kept.
    C : float
        Inverse strength of the penalty, as in scikit-learn.
    max_iter : int
        Iterations of the solver at most. Stopping there is early stopping, not an error.
    tol : float
        Stop when no slope of the mean log-loss, penalty and all, is larger.

    Attributes
    ----------
    coef_ : (n_classes, d) float array, (1, d) for two classes
    intercept_ : (n_classes,) float array, (1,) for two classes
    classes_ : (n_classes,) int array, on the host
    """

    kind: ClassVar[str] = "logistic_regression"

    power: float = param(0.5, gt=0, le=1)
    C: float = param(0.2, gt=0)
    max_iter: int = param(100, ge=1)
    tol: float = param(1e-3, gt=0)

    def __post_init__(self) -> None:
        check(self)

    def fit(
        self,
        X: Array,
        y: Array,
        groups: Array | None = None,
        weights: Array | None = None,
        on_progress: OnProgress | None = None,
    ) -> "LogisticRegression":
        """Fit to (n, d) points and (n,) labels of two classes or more; `groups` and `on_progress` play no part.

        Parameters
        ----------
        weights : (n,) float array, optional
            A point of weight 2 counts as two.
        """
        twin = backend.of(X)
        X, y, _, weights = settle(X, y, None, weights)
        estimator = twin.LogisticRegression(C=self.C, max_iter=self.max_iter, tol=self.tol)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(self._transform(X), y, sample_weight=weights)
        self.coef_, self.intercept_ = estimator.coef_, estimator.intercept_
        self.classes_ = np.asarray(estimator.classes_)
        return self

    def decision_function(self, X: Array) -> Array:
        """(n, d) -> (n, n_classes) scores, or (n,) for two classes, where `X` is."""
        asarray = backend.of(X).asarray
        scores = self._transform(X) @ asarray(self.coef_).T + asarray(self.intercept_)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Array) -> Array:
        """(n, d) -> (n,) classes, where `X` is."""
        xp = array_namespace(X)
        scores = self.decision_function(X)
        index = xp.astype(scores > 0, xp.int64) if scores.ndim == 1 else xp.argmax(scores, axis=1)
        return xp.take(backend.of(X).asarray(self.classes_), index)

    def _transform(self, X: Array) -> Array:
        xp = array_namespace(X)
        return X if self.power == 1 else xp.sign(X) * xp.abs(X) ** self.power

    def pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arrays and the other values that `unpack` makes the fitted model of."""
        return {name: getattr(self, name) for name in ("coef_", "intercept_", "classes_")}, self.get_params()

    @classmethod
    def unpack(cls, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> "LogisticRegression":
        """The inverse of `pack`."""
        model = cls(**values)
        for name in ("coef_", "intercept_", "classes_"):
            setattr(model, name, arrays[name])
        return model
