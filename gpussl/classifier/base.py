"""The public edge of all classifiers: what `fit`, `predict` and `predict_proba` take, check and answer."""

from collections.abc import Sequence
from typing import Any, Self

import array_api_compat
import numpy as np
from array_api_compat import array_namespace
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from gpussl import backend
from gpussl.errors import InputError
from gpussl.protocols import Classifier
from gpussl.records import UNLABELLED, Array, OnProgress
from gpussl.runtime.params import check


class BaseClassifier(ClassifierMixin, BaseEstimator, Classifier):
    """A classifier with scikit-learn's API. A subclass is a dataclass of its settings with four private methods.

    `_fit` gets points and weights that are checked, and classes as numbers from 0; `_predict` and `_predict_proba`
    get points that are checked. `_pack` and `_unpack` take a fitted model apart and put it together again.

    Attributes
    ----------
    classes_ : (n_classes,) array
        On the host: numbers or texts, as `y` had them.
    n_features_in_ : int
    """

    allows_nan = False

    def fit(
        self,
        X: Array,
        y: Array,
        sample_weight: Array | None = None,
        *,
        groups: Array | None = None,
        on_progress: OnProgress | None = None,
    ) -> Self:
        """Fit to (n, d) points and their (n,) labels.

        Parameters
        ----------
        X : (n, d) array, or what NumPy makes one of
            NumPy's or CuPy's: training runs where it is.
        y : (n,) array
            Numbers or texts. The number -1 means unlabelled: such points are left out, or learnt from without a label
            where the classifier can.
        sample_weight : (n,) array, optional
            A point of weight 2 counts as two, and one of weight 0 as if it had no label.
        groups : (n,) array, optional
            Points of one group are held out together: copies of one label must not stand on both sides of the split.
        on_progress : callable, optional
            Called with the steps done, the steps there are at most, and a note.

        Raises
        ------
        InputError
            Shapes that do not fit together, values that are not finite, fewer than two classes, negative weights.
        ConfigError
            A setting is out of its range.
        """
        check(self)
        X = self._points(X)
        twin = backend.of(X)
        y = y if hasattr(y, "shape") and hasattr(y, "dtype") else np.asarray(y)
        labels = backend.of(y).to_numpy(y)
        if labels.ndim != 1 or labels.shape[0] != X.shape[0]:
            raise InputError(f"y: expected a label for each of the {X.shape[0]:,} points, found shape {labels.shape}")
        weights = None if sample_weight is None else _weights(sample_weight, X.shape[0])
        if not self.learns_from_weights:
            weights = None
        is_labelled = _is_labelled(labels)
        if weights is not None:
            is_labelled &= weights > 0
        self.classes_, inverse = np.unique(labels[is_labelled], return_inverse=True)
        if len(self.classes_) < 2:
            found = ", ".join(map(str, self.classes_)) or "no labels"
            raise InputError(f"y: expected labels of at least two classes, found {found}")
        encoded = np.full(len(labels), UNLABELLED, dtype=np.int64)
        encoded[is_labelled] = inverse
        if weights is not None and bool(np.all(weights[is_labelled] == 1)):
            weights = None  # so that weights that say nothing change nothing, not even the last digit
        names = None if groups is None else backend.of(groups).to_numpy(groups)
        if not self.learns_from_unlabelled and not is_labelled.all():
            kept = np.flatnonzero(is_labelled)
            X, encoded = array_namespace(X).take(X, twin.asarray(kept), axis=0), encoded[kept]
            weights = None if weights is None else weights[kept]
            names = None if names is None else names[kept]
        self.n_features_in_ = int(X.shape[1])
        self._fit(X, encoded, weights, names, on_progress)
        return self

    def predict(self, X: Array) -> Array:
        """(n, d) -> (n,) classes, where `X` is; texts are on the host.

        Raises
        ------
        NotFittedError
            The model has not been fitted.
        InputError
            The points have another number of features than those it was fitted to, or values that are not finite.
        """
        check_is_fitted(self, "n_features_in_")
        X = self._points(X, self.n_features_in_)
        return self._named(self._predict(X), X)

    def predict_proba(self, X: Array) -> Array:
        """(n, d) -> (n, n_classes) probabilities of `classes_`, where `X` is; rows sum to 1. Raises as `predict`."""
        check_is_fitted(self, "n_features_in_")
        return self._predict_proba(self._points(X, self.n_features_in_))

    def prepared(self, seed: int, image_shape: Sequence[int] | None, device: str) -> Self:
        """A copy that knows what its configuration cannot: the seed, the images' shape, the kind of device.

        They become settings, so that what is saved and cached says what they were.
        """
        model = clone(self)
        if "random_state" in self.get_params():
            model.random_state = seed
        if self.needs_images and image_shape is not None:
            model.image_shape = list(image_shape)
        return model

    def pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arrays and the other values that `unpack` makes the fitted model of."""
        check_is_fitted(self, "n_features_in_")
        arrays, fitted = self._pack()
        values = {"params": self.get_params(), "fitted": {**fitted, "n_features_in_": self.n_features_in_}}
        if self.classes_.dtype.kind in "OSUT":
            return arrays, {**values, "classes_": [str(name) for name in self.classes_]}
        return {**arrays, "classes_": self.classes_}, values

    @classmethod
    def unpack(cls, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> Self:
        """The inverse of `pack`."""
        model = cls(**values["params"])
        arrays = dict(arrays)
        model.classes_ = np.array(values["classes_"]) if "classes_" in values else arrays.pop("classes_")
        for name, value in values["fitted"].items():
            setattr(model, name, value)
        model._unpack(arrays)
        return model

    def _fit(
        self,
        X: Array,
        y: np.ndarray,
        weights: np.ndarray | None,
        groups: np.ndarray | None,
        on_progress: OnProgress | None,
    ) -> None:
        """Fit to (n, d) points and class numbers (n,), -1 where there is none and the classifier learns from that."""
        raise NotImplementedError

    def _predict(self, X: Array) -> Array:
        """(n, d) -> (n,) class numbers."""
        xp = array_namespace(X)
        return xp.argmax(self._predict_proba(X), axis=1)

    def _predict_proba(self, X: Array) -> Array:
        """(n, d) -> (n, n_classes)."""
        raise NotImplementedError

    def _pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What was fitted besides `classes_` and `n_features_in_`: arrays, and other values."""
        raise NotImplementedError

    def _unpack(self, arrays: dict[str, np.ndarray]) -> None:
        """Take what `_pack` gave: the arrays; the other values are attributes already."""
        for name, array in arrays.items():
            setattr(self, name, array)

    def _points(self, X: Array, n_features: int | None = None) -> Array:
        """(n, d) points as an array of floating-point numbers, checked."""
        if not array_api_compat.is_array_api_obj(X):
            X = np.asarray(X, dtype=np.float32)
        if X.ndim != 2 or (n_features is not None and X.shape[1] != n_features):
            expected = "d" if n_features is None else n_features
            raise InputError(f"X: expected shape (n, {expected}), found {tuple(X.shape)}")
        xp = array_namespace(X)
        if not xp.isdtype(X.dtype, "real floating"):
            X = xp.astype(X, xp.float32)
        # a sum is finite if all are; else, as sums may overflow, they are looked at one by one
        if not self.allows_nan and X.shape[0] and not bool(xp.isfinite(xp.sum(X))) and not bool(xp.all(xp.isfinite(X))):
            row = int(xp.argmax(xp.astype(xp.any(~xp.isfinite(X), axis=1), xp.int64)))
            raise InputError(
                f"X: expected finite numbers, found NaN or infinity, first in row {row:,}; fill or drop it"
            )
        return X

    def _named(self, numbers: Array, X: Array) -> Array:
        """The classes (n,) of class numbers (n,), where `X` is."""
        twin = backend.of(X)
        if self.classes_.dtype.kind in "OSUT":
            return self.classes_[twin.to_numpy(numbers)]
        return twin.asarray(self.classes_)[twin.asarray(numbers)]


def _is_labelled(labels: np.ndarray) -> np.ndarray:
    """(n,) bool: a text is a class in any case, also "-1"."""
    if labels.dtype.kind == "O":  # numbers and texts mixed
        return np.array([isinstance(label, str) or label != UNLABELLED for label in labels], dtype=bool)
    if labels.dtype.kind in "iuf":
        return labels != UNLABELLED
    return np.ones(len(labels), dtype=bool)


def _weights(weights: Array, n: int) -> np.ndarray:
    """Weights (n,) on the host. InputError if there is not one for each point, or one is negative or no number."""
    found = backend.of(weights).to_numpy(weights) if hasattr(weights, "shape") else np.asarray(weights)
    if found.shape != (n,):
        raise InputError(f"sample_weight: expected shape ({n},), found {tuple(found.shape)}")
    if not bool(np.all(found >= 0)):
        raise InputError("sample_weight: expected numbers of at least 0, found others")
    return found
