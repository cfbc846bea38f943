"""Multinomial logistic regression, fitted by SciPy's L-BFGS on the device of the data."""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from gpussl import backend
from gpussl.classifier.base import SCALE, BaseClassifier
from gpussl.numeric.arrays import softmax
from gpussl.records import Array, OnProgress
from gpussl.runtime.params import check, param


@dataclass(eq=False)
class LogisticRegression(BaseClassifier):
    """Logistic regression with an L2 penalty that suits any number and scale of the features.

    The penalty of a linear model depends on the scale of its features. If they are scaled so that the squared norms of
    the points have a mean of 1, the best `C` hardly depends on the data or on the number of labels.

    Parameters
    ----------
    power : float
        Exponent of the features' absolute values; the signs are kept. Square roots give dark pixels more weight: 0.5
        is worth a point or two on photographs, and costs as much on features of either sign.
    scale : {"auto", "none"}
        With "auto" the points are centred and scaled; features in different units, each by its own deviation.
    C : float
        Inverse strength of the penalty, as in scikit-learn; with `scale="auto"`, for points of norm 1.
    max_iter : int
        Upper limit of the solver's iterations. Reaching it counts as early stopping, not as an error.
    tol : float
        Stop when no component of the gradient of the penalised mean log-loss exceeds it.

    Attributes
    ----------
    coef_ : (n_classes, d) float array, (1, d) for two classes
    intercept_ : (n_classes,) float array, (1,) for two classes
        Weights of the scaled features.

    Examples
    --------
    >>> import numpy as np
    >>> model = LogisticRegression().fit([[0.0], [1.0], [8.0], [9.0]], ["low", "low", "high", "high"])
    >>> model.predict([[2.0], [7.0]]).tolist()
    ['low', 'high']
    >>> model.predict_proba([[4.5]]).round(2).tolist()
    [[0.5, 0.5]]
    """

    kind: ClassVar[str] = "logistic_regression"

    power: float = param(1.0, gt=0, le=1)
    scale: str = SCALE
    C: float = param(30.0, gt=0)
    max_iter: int = param(100, ge=1)
    tol: float = param(1e-3, gt=0)

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
        twin = backend.of(X)
        C = self.C if self.scale == "none" else self.C / X.shape[1]  # scaled points have a mean squared norm of d
        estimator = twin.LogisticRegression(C=C, max_iter=self.max_iter, tol=self.tol)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            counted = None if weights is None else twin.asarray(weights)
            estimator.fit(X, twin.asarray(y), sample_weight=counted)
        self.coef_, self.intercept_ = estimator.coef_, estimator.intercept_

    def decision_function(self, X: Array) -> Array:
        """Compute scores (n, n_classes), or (n,) for two classes, on the device of `X`."""
        check_is_fitted(self, "coef_")
        return self._scores(self._scaled(self._mapped(self._points(X, self.n_features_in_))))

    def _scores(self, X: Array) -> Array:
        asarray = backend.of(X).asarray
        scores = X @ asarray(self.coef_).T + asarray(self.intercept_)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def _predict(self, X: Array) -> Array:
        xp, scores = array_namespace(X), self._scores(X)
        return xp.astype(scores > 0, xp.int64) if scores.ndim == 1 else xp.argmax(scores, axis=1)

    def _predict_proba(self, X: Array) -> Array:
        xp, scores = array_namespace(X), self._scores(X)
        if scores.ndim == 1:
            scores = xp.stack([xp.zeros_like(scores), scores], axis=1)
        return softmax(scores)

    def _mapped(self, X: Array) -> Array:
        xp = array_namespace(X)
        return X if self.power == 1 else xp.sign(X) * xp.abs(X) ** self.power

    def _pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"coef_": self.coef_, "intercept_": self.intercept_}, {}

    def _unpack(self, arrays: dict[str, np.ndarray]) -> None:
        super()._unpack(arrays)
        if self.scaling_ is None:  # also for files from before there was a scale
            self.scale = "none"
