"""scikit-learn's digits, as several tests use them."""

import numpy as np

from gpussl.data.digits import Digits
from gpussl.represent.pixels import scale

DIGITS = Digits().load()
TRAIN, TEST = scale(DIGITS.X_train, DIGITS.X_test, DIGITS.max_value)


def some_labels(n):
    """(1297,): the labels of n training images drawn at random, and -1 for the others."""
    drawn = np.random.default_rng(0).choice(len(TRAIN), n, replace=False)
    labels = np.full(len(TRAIN), -1)
    labels[drawn] = DIGITS.y_train[drawn]
    return labels


def accuracy(model):
    """Of what a model says of the test images."""
    return np.mean(model.predict(TEST) == DIGITS.y_test)
