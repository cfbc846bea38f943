"""The 1,797 handwritten digits of scikit-learn, for first tries and tests: nothing to download."""

import hashlib
from dataclasses import dataclass

import numpy as np

from gpussl.protocols import Source
from gpussl.records import Dataset
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class Digits(Source):
    """1,797 images of 8x8 pixels from 0 to 16; the last ones, in the original order, are the test set.

    Other people wrote the last images than the first, so the split is by writer, as in MNIST.

    Parameters
    ----------
    name : str
    n_test : int
        Size of the test set.

    Examples
    --------
    >>> data = Digits().load()
    >>> data.X_train.shape, data.n_test
    ((1297, 64), 500)
    """

    name: str = "digits"
    n_test: int = param(500, ge=1, le=1000)

    def __post_init__(self) -> None:
        check(self)

    def load(self) -> Dataset:
        """Read the images that come with scikit-learn."""
        from sklearn.datasets import load_digits  # late: a refused setting does not wait two seconds for it

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
