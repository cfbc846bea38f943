"""Labels that may be wrong, from what models say that have not seen them."""

import numpy as np

LEAST = 1e-9  # of a probability, so that none is impossible


def doubt(proba: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return how much each label (m,) is in doubt: above 0 if another class is likelier. NaN if it is not known.

    It is the logarithm of how many times likelier the likeliest other class is.

    Parameters
    ----------
    proba : (m, n_classes) array
        Probabilities by models that have not seen the label; rows of NaN are not known.
    y : (m,) int array
        Class numbers.

    Examples
    --------
    >>> doubt(np.array([[0.9, 0.1], [0.25, 0.75]]), np.array([1, 1])).round(2)
    array([ 2.2, -1.1])
    """
    rows = np.arange(len(y))
    others = proba.copy()
    others[rows, y] = -1
    return np.log(np.maximum(others.max(axis=1), LEAST)) - np.log(np.maximum(proba[rows, y], LEAST))


def order(proba: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the labels (k,) of which another class is likelier, the most doubtful first. Parameters as for `doubt`.

    Examples
    --------
    >>> order(np.array([[0.6, 0.4], [0.2, 0.8], [0.9, 0.1]]), np.array([1, 1, 1]))
    array([2, 0])
    """
    found = doubt(proba, y)
    likelier = np.flatnonzero(found > 0)
    return np.asarray(likelier[np.argsort(-found[likelier], kind="stable")])


def n_wrong(proba: np.ndarray, y: np.ndarray) -> int:
    """Return about how many labels are wrong, by confident learning. Parameters as for `doubt`.

    A label counts as wrong if models are as sure of another class as they are, on the mean, of the labels that have it.

    References
    ----------
    Northcutt, Jiang, Chuang, "Confident learning: estimating uncertainty in dataset labels", JAIR, 2021.

    Examples
    --------
    >>> proba = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.95, 0.05]])
    >>> n_wrong(proba, np.array([0, 0, 1, 1, 1]))
    1
    """
    known = np.isfinite(proba).all(axis=1)
    proba, y = proba[known], y[known]
    if not len(y):
        return 0
    n_classes = proba.shape[1]
    counts = np.bincount(y, minlength=n_classes)
    rows = np.arange(len(y))
    means = np.bincount(y, proba[rows, y], n_classes) / np.maximum(counts, 1)
    is_sure = (proba >= np.where(counts > 0, means, np.inf)) & (proba > 0)
    of_class = np.where(is_sure, proba, -1)
    said = np.where(is_sure.any(axis=1), of_class.argmax(axis=1), -1)
    joint = np.zeros((n_classes, n_classes))
    np.add.at(joint, (y[said >= 0], said[said >= 0]), 1)
    totals = joint.sum(axis=1)
    is_seen = totals > 0  # the rows are scaled to the number of labels of each class
    wrong = totals - np.diag(joint)
    return round(float(np.sum(counts[is_seen] * wrong[is_seen] / totals[is_seen])))
