"""The public interface of all classifiers: `fit`, `predict` and `predict_proba` check inputs and convert labels."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import array_api_compat
import numpy as np
from array_api_compat import array_namespace
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from gpussl import backend
from gpussl.errors import InputError
from gpussl.numeric.scaling import fit_scaling
from gpussl.protocols import Classifier
from gpussl.records import UNLABELLED, Array, OnProgress
from gpussl.runtime.params import check, param

SCALE = param("auto", choices=("auto", "none"))  # the setting `scale`
SCALING = ("scaling_mean_", "scaling_divisor_")  # names in saved files


class BaseClassifier(ClassifierMixin, BaseEstimator, Classifier):
    """A classifier with scikit-learn's API. A subclass is a dataclass of its settings with a few private methods.

    `_fit` receives checked points, checked weights, and classes as numbers from 0; `_predict` and `_predict_proba`
    receive checked points. `_pack` and `_unpack` convert a fitted model to arrays and back. A subclass with the setting
    `scale: str = SCALE` receives scaled points if it is "auto" (`fit_scaling`).

    Attributes
    ----------
    classes_ : (n_classes,) array
        The classes, numbers or strings as in `y`, on the host.
    n_features_in_ : int

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(eq=False)
    ... class MostFrequent(BaseClassifier):
    ...     def _fit(self, X, y, weights, groups, on_progress):
    ...         self.shares_ = np.bincount(y) / len(y)
    ...
    ...     def _predict_proba(self, X):
    ...         return np.tile(self.shares_, (len(X), 1))
    ...
    ...     def _pack(self):
    ...         return {"shares_": self.shares_}, {}
    >>> MostFrequent().fit([[0.0], [1.0], [2.0]], ["cat", "dog", "dog"]).predict([[3.0]]).tolist()
    ['dog']
    """

    allows_nan = False
    scale = "none"
    scaling_: tuple[Array, Array] | None = None  # means and divisors (d,) of the features

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
        X : (n, d) array-like
            Training runs on the device of a CuPy array, otherwise on the CPU.
        y : (n,) array-like
            Numbers or strings. The number -1 means unlabelled: the classifier learns from such points without a label
            if it can, and leaves them out otherwise.
        sample_weight : (n,) array-like, optional
            A point of weight 2 counts as two, a point of weight 0 as unlabelled.
        groups : (n,) array-like, optional
            Points of one group are held out together, so that copies of one label are never on both sides of the split.
        on_progress : callable, optional
            Called with the steps done, the most there can be, and a note.

        Raises
        ------
        InputError
            Shapes do not match, a value is not finite, there are fewer than two classes, or a weight is negative.
        ConfigError
            A setting is out of range.
        """
        check(self)
        X = self._points(X)
        twin = backend.of(X)
        labels = backend.of(y).to_numpy(y)
        if labels.ndim != 1 or labels.shape[0] != X.shape[0]:
            raise InputError(f"y: expected a label for each of the {X.shape[0]:,} points, found shape {labels.shape}")
        weights = None if sample_weight is None else _weights(sample_weight, X.shape[0])
        is_labelled = _is_labelled(labels)
        if weights is not None:
            is_labelled &= weights > 0
        if not self.learns_from_weights:
            weights = None
        self.classes_, inverse = np.unique(_of_one_type(labels[is_labelled]), return_inverse=True)
        if len(self.classes_) < 2:
            found = ", ".join(map(str, self.classes_)) or "no labels"
            raise InputError(f"y: expected labels of at least two classes, found {found}")
        encoded = np.full(len(labels), UNLABELLED, dtype=np.int64)
        encoded[is_labelled] = inverse
        if weights is not None and bool(np.all(weights[is_labelled] == 1)):
            weights = None  # equal weights must change nothing, not even the last digit
        names = None if groups is None else _groups(groups, X.shape[0])
        if not self.learns_from_unlabelled and not is_labelled.all():
            kept = np.flatnonzero(is_labelled)
            X, encoded = array_namespace(X).take(X, twin.asarray(kept), axis=0), encoded[kept]
            weights = None if weights is None else weights[kept]
            names = None if names is None else names[kept]
        self.n_features_in_ = int(X.shape[1])
        try:
            X = self._mapped(X)
            counted = backend.of(X).asarray(encoded != UNLABELLED if weights is None else weights)
            if "scaling_" in vars(self):  # of an earlier fit
                del self.scaling_
            if self.scale == "auto":
                self.scaling_ = fit_scaling(X, counted)
            self._fit(self._scaled(X), encoded, weights, names, on_progress)
        except BaseException:
            del self.n_features_in_  # or it would pass for fitted
            raise
        return self

    def predict(self, X: Array) -> Array:
        """Predict the classes (n,) of points (n, d), on the device of `X`; strings are on the host.

        Raises
        ------
        NotFittedError
            The model has not been fitted.
        InputError
            The number of features differs from that in the fit, or a value is not finite.
        """
        check_is_fitted(self, "n_features_in_")
        X = self._points(X, self.n_features_in_)
        return self._named(self._predict(self._scaled(self._mapped(X))), X)

    def predict_proba(self, X: Array) -> Array:
        """Predict the probabilities (n, n_classes) of `classes_`, on the device of `X`. Raises as `predict` does."""
        check_is_fitted(self, "n_features_in_")
        return self._predict_proba(self._scaled(self._mapped(self._points(X, self.n_features_in_))))

    def prepared(self, seed: int, image_shape: Sequence[int] | None, device: str) -> Self:
        """Return a copy with the settings that the configuration cannot know: seed, image shape and kind of device.

        As settings, they are part of every saved model and cache key.
        """
        model = clone(self)
        if "random_state" in self.get_params():
            model.random_state = seed
        if self.needs_images and image_shape is not None:
            model.image_shape = list(image_shape)
        return model

    def pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the arrays and the other values from which `unpack` restores the fitted model."""
        check_is_fitted(self, "n_features_in_")
        arrays, fitted = self._pack()
        if self.scaling_ is not None:
            arrays = {**arrays, **dict(zip(SCALING, self.scaling_, strict=True))}
        values = {"params": self.get_params(), "fitted": {**fitted, "n_features_in_": self.n_features_in_}}
        if self.classes_.dtype.kind == "U":
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
        if SCALING[0] in arrays:
            model.scaling_ = arrays.pop(SCALING[0]), arrays.pop(SCALING[1])
        model._unpack(arrays)
        return model

    @abstractmethod
    def _fit(
        self,
        X: Array,
        y: np.ndarray,
        weights: np.ndarray | None,
        groups: np.ndarray | None,
        on_progress: OnProgress | None,
    ) -> None:
        """Fit to (n, d) points and class numbers (n,); -1 only if the classifier learns from unlabelled points."""
        ...

    def _mapped(self, X: Array) -> Array:
        """(n, d) -> (n, d): what is done to the features before they are scaled."""
        return X

    def _scaled(self, X: Array) -> Array:
        """(n, d) -> (n, d): the features on the scale of the fit."""
        if self.scaling_ is None:
            return X
        mean, divisor = (backend.of(X).asarray(array) for array in self.scaling_)
        return (X - mean) / divisor

    def _predict(self, X: Array) -> Array:
        """(n, d) -> (n,) class numbers."""
        xp = array_namespace(X)
        return xp.argmax(self._predict_proba(X), axis=1)

    @abstractmethod
    def _predict_proba(self, X: Array) -> Array:
        """(n, d) -> (n, n_classes)."""
        ...

    @abstractmethod
    def _pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The fitted arrays and other values, apart from `classes_` and `n_features_in_`."""
        ...

    def _unpack(self, arrays: dict[str, np.ndarray]) -> None:
        """Restore the arrays from `_pack`; its other values are attributes already."""
        for name, array in arrays.items():
            setattr(self, name, array)

    def _points(self, X: Array, n_features: int | None = None) -> Array:
        """Check (n, d) points, and convert them to an array of floating-point numbers."""
        if not array_api_compat.is_array_api_obj(X) or (isinstance(X, np.ndarray) and X.dtype.kind not in "biuf"):
            try:
                X = np.asarray(X, dtype=np.float32)
            except (TypeError, ValueError) as error:
                raise InputError(f"X: expected numbers, found others ({error})") from error
        if X.ndim != 2 or (n_features is not None and X.shape[1] != n_features):
            expected = "d" if n_features is None else n_features
            raise InputError(f"X: expected shape (n, {expected}), found {tuple(X.shape)}")
        xp = array_namespace(X)
        if not xp.isdtype(X.dtype, "real floating"):
            X = xp.astype(X, xp.float32)
        # a finite sum proves that all values are finite; an infinite one may have overflowed, so the values are checked
        if not self.allows_nan and X.shape[0] and not bool(xp.isfinite(xp.sum(X))) and not bool(xp.all(xp.isfinite(X))):
            row = int(xp.argmax(xp.astype(xp.any(~xp.isfinite(X), axis=1), xp.int64)))
            raise InputError(
                f"X: expected finite numbers, found NaN or infinity, first in row {row:,}; fill or drop it"
            )
        return X

    def _named(self, numbers: Array, X: Array) -> Array:
        """Map class numbers (n,) to classes (n,), on the device of `X`; strings are on the host."""
        twin = backend.of(X)
        if self.classes_.dtype.kind == "U":
            return self.classes_[twin.to_numpy(numbers)]
        return twin.asarray(self.classes_)[twin.asarray(numbers)]


def _is_labelled(labels: np.ndarray) -> np.ndarray:
    """(n,) bool: whether each label is known. A string always is, even "-1"."""
    if labels.dtype.kind == "O":  # numbers and strings mixed
        return np.array([isinstance(label, str) or label != UNLABELLED for label in labels], dtype=bool)
    if labels.dtype.kind in "iuf":
        return labels != UNLABELLED
    return np.ones(len(labels), dtype=bool)


def _of_one_type(labels: np.ndarray) -> np.ndarray:
    """Known labels (m,) as numbers or as strings. InputError if they are mixed, missing or of another type."""
    if labels.dtype.kind == "O" and all(isinstance(label, str) for label in labels):
        return labels.astype(str)
    if labels.dtype.kind == "O" and all(isinstance(label, (int, float, np.number)) for label in labels):
        labels = np.array(labels.tolist())
    if labels.dtype.kind == "T":  # NumPy's strings of any length
        return labels.astype(str)
    if labels.dtype.kind not in "biufU" or (labels.dtype.kind == "f" and np.isnan(labels).any()):
        raise InputError("y: expected numbers or strings, and -1 where a label is unknown, found others, such as NaN")
    return labels


def _groups(groups: Array, n: int) -> np.ndarray:
    """Groups (n,) on the host. InputError if there is not one for each point."""
    found = backend.of(groups).to_numpy(groups)
    if found.shape != (n,):
        raise InputError(f"groups: expected shape ({n},), found {tuple(found.shape)}")
    return found


def _weights(weights: Array, n: int) -> np.ndarray:
    """Check weights (n,), and copy them to the host. Raise InputError for a wrong shape, a negative weight or NaN."""
    found = backend.of(weights).to_numpy(weights)
    if found.shape != (n,):
        raise InputError(f"sample_weight: expected shape ({n},), found {tuple(found.shape)}")
    if not bool(np.all((found >= 0) & np.isfinite(found))):
        raise InputError("sample_weight: expected numbers of at least 0, found a negative number, infinity or NaN")
    return found
