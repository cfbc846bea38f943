"""Seeds are arguments: one run seed, and from it one seed for each use, by name."""

import hashlib

import numpy as np


def derive(seed: int, name: str) -> int:
    """A seed for one named use of a run seed, the same on every machine.

    Uses with different names draw independent numbers, so adding a stage, or running stages in another order, changes
    no other stage's numbers. The result lies in [0, 2**32), which NumPy, scikit-learn, cuML and PyTorch all take.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def generator(seed: int, name: str) -> np.random.Generator:
    """NumPy's default generator, seeded by `derive`."""
    return np.random.default_rng(derive(seed, name))
