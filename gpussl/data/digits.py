"""scikit-learn's 1,797 handwritten digits: nothing to fetch, for first tries and tests."""

import hashlib
from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits

from gpussl.protocols import Source
from gpussl.records import Dataset
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class Digits(Source):
    """1,797 images of 8x8 pixels, 0 to 16, of which the last ones, as they come, are the test set.

    The last ones were written by other people than the first, so the split is one by writer, as MNIST's is.
    """

    name: str = "digits"
    n_test: int = param(500, ge=1, le=1000)

    def __post_init__(self) -> None:
        check(self)

    def load(self) -> Dataset:
        """Read the images that scikit-learn brings along."""
        X, y = load_digits(return_X_y=True)
        X, y = X.astype(np.uint8), y.astype(np.int64)
        return Dataset(
            name=self.name,
            X_train=X[: -self.n_test],
            y_train=y[: -self.n_test],
            X_test=X[-self.n_test :],
            y_test=y[-self.n_test :],
            class_names=tuple("0123456789"),
            image_shape=(8, 8),
            max_value=16.0,
            checksums={"images": hashlib.sha256(X.tobytes()).hexdigest()},
        )
