"""Seeds: one seed for each run, and one derived from it for each named use. No global generator is seeded."""

import hashlib

import numpy as np


def derive(seed: int, name: str) -> int:
    """Derive the seed of a named use from the seed of the run, identically on every machine.

    Different names give independent random numbers, so adding or reordering stages leaves the numbers of the others
    unchanged. The result lies in [0, 2**32), the range that NumPy, scikit-learn, cuML and PyTorch all accept.

    Examples
    --------
    >>> derive(0, "cluster"), derive(0, "select")
    (1518808472, 185954028)
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def generator(seed: int, name: str) -> np.random.Generator:
    """NumPy's default generator, seeded by `derive`.

    Examples
    --------
    >>> generator(0, "select").permutation(5)
    array([1, 0, 3, 2, 4])
    """
    return np.random.default_rng(derive(seed, name))
