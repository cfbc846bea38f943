"""The model: a fitted classifier with its preprocessing, from raw values to class names."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj

from gpussl import backend
from gpussl.errors import InputError
from gpussl.protocols import Classifier, Reader, Transform
from gpussl.records import Array
from gpussl.runtime import store


def is_source(raw: Any) -> bool:
    """Return whether raw values are to be read: a path or a pandas DataFrame.

    >>> is_source("photos"), is_source([[1.0]])
    (True, False)
    """
    return isinstance(raw, (str, Path)) or type(raw).__name__ == "DataFrame"


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model that predicts from raw values, as saved by a run and loaded by `gpussl.load`.

    Attributes
    ----------
    steps : tuple of Transform
        The fitted representations, followed by the fitted features.
    classifier : Classifier
    class_names : tuple of str
        Names of classes 0, 1, ...
    n_features : int
        Number of raw values of a point.
    image_shape : tuple of int or None
        (height, width) or (height, width, channels); None if the points are not images.
    max_value : float or None
        Raw values range from 0 to this value, and are divided by it; None if they have no range.
    reader : Reader or None
        Reads the raw values from files and DataFrames of the form of the training data.

    Examples
    --------
    >>> from gpussl.classifier.knn import KNeighborsClassifier
    >>> knn = KNeighborsClassifier(n_neighbors=1).fit([[0.0], [1.0]], [0, 1])
    >>> Model((), knn, ("dark", "bright"), n_features=1, max_value=255.0).predict([[250], [3]]).tolist()
    ['bright', 'dark']
    """

    kind: ClassVar[str] = "model"
    steps: tuple[Transform, ...]
    classifier: Classifier
    class_names: tuple[str, ...]
    n_features: int
    image_shape: tuple[int, ...] | None = None
    max_value: float | None = None
    reader: Reader | None = None

    @property
    def classes_(self) -> np.ndarray:
        """The class names (n_classes,), in the order of the columns of `predict_proba`."""
        return np.array(self.class_names)

    def predict(self, raw: Array) -> np.ndarray:
        """Predict the class names (n,) of the points, on the host.

        Parameters
        ----------
        raw : (n, d) array, or images (n, height, width) or (n, height, width, channels)
            Raw values, in the format of the data source. A model of a person's data also takes a path or a
            DataFrame; points that cannot be read then have no row, and `reader.read` names them.

        Raises
        ------
        InputError
            The shape is wrong, or a value is outside the range from 0 to `max_value`.
        """
        if is_source(raw):
            return np.concatenate([self.classes_[:0], *(self.predict(part) for part in self._read(raw))])
        X = self.transform(raw)
        numbers = backend.of(X).to_numpy(self.classifier.predict(X))
        return self.classes_[numbers]

    def predict_proba(self, raw: Array) -> Array:
        """Predict probabilities (n, n_classes), 0 for classes without training labels. Raises as `predict` does."""
        if is_source(raw):
            none = np.zeros((0, len(self.class_names)), dtype=np.float32)
            return np.concatenate([none, *(self.predict_proba(part) for part in self._read(raw))])
        X = self.transform(raw)
        xp, found = array_namespace(X), self.classifier.predict_proba(X)
        columns = dict(zip(self.classifier.classes_.tolist(), range(found.shape[1]), strict=True))
        none = xp.zeros_like(found[:, 0])
        return xp.stack(
            [found[:, columns[number]] if number in columns else none for number in range(len(self.class_names))],
            axis=1,
        )

    def _read(self, source: Any) -> Iterator[np.ndarray]:
        if self.reader is None:
            raise InputError("X: expected an array, found a path or a DataFrame; this model has no reader for them")
        return (part.X for part in self.reader.read(source) if part.ids)

    def transform(self, raw: Array) -> Array:
        """Map raw values to the classifier's features (n, k), on the device of `raw`. Raises as `predict` does."""
        X = self._points(raw)
        for step in self.steps:
            X = step.transform(X)
        return X

    def _points(self, raw: Array) -> Array:
        """Convert raw values to (n, d) float32 points, scaled to the range from 0 to 1 if the values have a range."""
        raw = raw if is_array_api_obj(raw) else np.asarray(raw)
        shape = tuple(raw.shape)
        if self.image_shape is not None and shape[1:] == tuple(self.image_shape):
            raw = array_namespace(raw).reshape(raw, (shape[0], math.prod(shape[1:])))
        if raw.ndim != 2 or raw.shape[1] != self.n_features:
            images = f" or {('n', *self.image_shape)}".replace("'", "") if self.image_shape is not None else ""
            raise InputError(f"X: expected shape (n, {self.n_features}){images}, found {shape}")
        xp = array_namespace(raw)
        X = xp.astype(raw, xp.float32)
        if self.max_value is not None:
            if X.shape[0] and not (float(xp.min(X)) >= 0 and float(xp.max(X)) <= self.max_value):
                raise InputError(
                    f"X: expected raw values from 0 to {self.max_value:g}, found {float(xp.min(X)):g} to "
                    f"{float(xp.max(X)):g}"
                )
            X /= self.max_value
        return X

    def pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the arrays and the other values from which `unpack` restores the model."""
        parts_of = (*self.steps, self.classifier, *([] if self.reader is None else [self.reader]))
        arrays, parts = store.pack_parts(parts_of)
        return arrays, {
            "parts": parts,
            "has_reader": self.reader is not None,
            "class_names": list(self.class_names),
            "n_features": self.n_features,
            "image_shape": None if self.image_shape is None else list(self.image_shape),
            "max_value": self.max_value,
        }

    @classmethod
    def unpack(cls, arrays: dict[str, Any], values: dict[str, Any]) -> "Model":
        """The inverse of `pack`."""
        parts = store.unpack_parts(arrays, values["parts"])
        reader = parts.pop() if values.get("has_reader") else None
        shape = values["image_shape"]
        return cls(
            tuple(parts[:-1]),
            parts[-1],
            tuple(values["class_names"]),
            values["n_features"],
            None if shape is None else tuple(shape),
            values["max_value"],
            reader,
        )
