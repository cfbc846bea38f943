"""Hold out labels that decide when training stops."""

import numpy as np


def split_groups(groups: np.ndarray, fraction: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Split points at random into positions for training and positions held out, with no group on both sides.

    With fewer than three groups there is none to spare, and both sides contain all points.

    Parameters
    ----------
    groups : (n,) array
        The group of each point.
    fraction : float
        Share of the groups that is held out; at least one group is.

    Examples
    --------
    >>> train, held_out = split_groups(np.array([5, 5, 6, 6, 7, 7]), 0.3, np.random.default_rng(0))
    >>> train.tolist(), held_out.tolist()
    ([0, 1, 2, 3], [4, 5])
    """
    names, group_of = np.unique(groups, return_inverse=True)
    if len(names) < 3:
        return np.arange(len(groups)), np.arange(len(groups))
    n_held_out = min(max(1, round(fraction * len(names))), len(names) - 2)
    is_held_out = np.zeros(len(names), dtype=bool)
    is_held_out[rng.permutation(len(names))[:n_held_out]] = True
    return np.flatnonzero(~is_held_out[group_of]), np.flatnonzero(is_held_out[group_of])
