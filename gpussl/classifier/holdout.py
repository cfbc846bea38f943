"""Hold out labels that decide when training stops, or which settings suit them."""

import numpy as np


def split_groups(
    y: np.ndarray, groups: np.ndarray, fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Split points at random into positions for training and positions held out, with no group on both sides.

    A class that would be held out whole gives one group back, if another is left to hold out. With fewer than three
    groups there is none to spare, and both sides contain all points.

    Parameters
    ----------
    y : (n,) int array
        Class numbers.
    groups : (n,) array
        The group of each point.
    fraction : float
        Share of the groups that is held out; at least one group is.

    Examples
    --------
    >>> groups = np.array([5, 5, 6, 6, 7, 7])
    >>> train, held_out = split_groups(np.zeros(6, dtype=int), groups, 0.3, np.random.default_rng(0))
    >>> train.tolist(), held_out.tolist()
    ([0, 1, 2, 3], [4, 5])
    """
    names, group_of = np.unique(groups, return_inverse=True)
    if len(names) < 3:
        return np.arange(len(groups)), np.arange(len(groups))
    n_held_out = min(max(1, round(fraction * len(names))), len(names) - 2)
    is_held_out = np.zeros(len(names), dtype=bool)
    is_held_out[rng.permutation(len(names))[:n_held_out]] = True
    for missing in np.setdiff1d(y, y[~is_held_out[group_of]]):
        if np.count_nonzero(is_held_out) > 1:
            is_held_out[group_of[np.argmax(y == missing)]] = False
    return np.flatnonzero(~is_held_out[group_of]), np.flatnonzero(is_held_out[group_of])


def stratified_folds(y: np.ndarray, groups: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Divide points into folds for cross-validation: the number (n,) of the fold of each point, from 0.

    All points of a group are in one fold, and the groups of each class are spread evenly: a class with few groups is
    missing from as few folds as possible.

    Parameters
    ----------
    y : (n,) int array
        Class numbers. The class of a group is that of its first point.
    groups : (n,) array
        The group of each point.

    Examples
    --------
    >>> y, groups = np.array([0, 0, 0, 1, 1]), np.array([7, 7, 8, 9, 10])
    >>> folds = stratified_folds(y, groups, 2, np.random.default_rng(0))
    >>> int(folds[0] == folds[1]), sorted(folds[2:4].tolist() + folds[:1].tolist()), int(folds[3] != folds[4])
    (1, [0, 0, 1], 1)
    """
    _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    shuffled = rng.permutation(len(first))
    by_class = shuffled[np.argsort(y[first[shuffled]], kind="stable")]
    fold_of_group = np.empty(len(first), dtype=np.int64)
    fold_of_group[by_class] = np.arange(len(first)) % n_folds
    return fold_of_group[group_of]
