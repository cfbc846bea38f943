"""Hold out: which labels a model is not to learn from, so that they can say when it has learnt enough."""

import numpy as np


def split_groups(groups: np.ndarray, fraction: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions to learn from and positions held out, with no group on both sides.

    With fewer than three groups there is none to spare: both sides are everything.
    """
    names, group_of = np.unique(groups, return_inverse=True)
    if len(names) < 3:
        return np.arange(len(groups)), np.arange(len(groups))
    n_held_out = min(max(1, round(fraction * len(names))), len(names) - 2)
    is_held_out = np.zeros(len(names), dtype=bool)
    is_held_out[rng.permutation(len(names))[:n_held_out]] = True
    return np.flatnonzero(~is_held_out[group_of]), np.flatnonzero(is_held_out[group_of])
