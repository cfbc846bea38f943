"""scikit-learn's digits, as several tests use them."""

import numpy as np

from gpussl.data.digits import Digits
from gpussl.represent.pixels import scale

DIGITS = Digits().load()
TRAIN, TEST = scale(DIGITS.X_train, DIGITS.max_value), scale(DIGITS.X_test, DIGITS.max_value)
IMAGES, NAMES = np.concatenate([TRAIN, TEST]), np.concatenate([DIGITS.y_train, DIGITS.y_test])


def some_labels(n):
    """(1297,): the labels of n training images drawn at random, and -1 for the others."""
    drawn = np.random.default_rng(0).choice(len(TRAIN), n, replace=False)
    labels = np.full(len(TRAIN), -1)
    labels[drawn] = DIGITS.y_train[drawn]
    return labels


def accuracy(model):
    """Of what a model says of the test images."""
    return np.mean(model.predict(TEST) == DIGITS.y_test)


def fit_transform(step, train, test, seed=0):
    """Training and test points as a step makes them, which is fitted to the training points."""
    fitted = step.fit(train, seed)
    return fitted.transform_fitted(train), fitted.transform(test)


def scaled(train, test, max_value, on_disk_beyond=None):
    """Raw training and test points as float32 from 0 to 1."""
    return scale(train, max_value, on_disk_beyond), scale(test, max_value)
