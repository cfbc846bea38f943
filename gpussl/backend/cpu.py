"""NumPy and scikit-learn, under the names that `gpu` binds to CuPy and cuML."""

import platform
import resource
from pathlib import Path

import numpy as np
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from gpussl.records import Array

__all__ = [
    "DEVICE", "HDBSCAN", "HDBSCAN_COUNTS_ITSELF", "KMeans", "KNeighborsClassifier", "LogisticRegression", "asarray",
    "bincount", "device_name", "memory", "synchronize", "to_numpy",
]  # fmt: skip

DEVICE = "cpu"  # as PyTorch and XGBoost call it
HDBSCAN_COUNTS_ITSELF = True  # whether a point is one of its own min_samples neighbours


def asarray(X: Array) -> np.ndarray:
    """`X` as an array of this device."""
    return np.asarray(X)


def to_numpy(X: Array) -> np.ndarray:
    """`X` as an array of the host."""
    return np.asarray(X)


def bincount(x: Array, minlength: int) -> np.ndarray:
    """How often each whole number from 0 occurs in `x` (n,): at least `minlength` counts."""
    return np.bincount(np.asarray(x), minlength=minlength)


def synchronize() -> None:
    """Wait until the device has done all it was asked to."""


def memory() -> int:
    """Bytes of device memory in use: here the resident size of this process."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except FileNotFoundError:  # no /proc, as on macOS, which counts ru_maxrss in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def device_name() -> str:
    """What the work runs on, for people."""
    return f"cpu ({platform.machine()})"
