"""NumPy and scikit-learn, under the names that `gpu` binds to CuPy and cuML."""

import platform
import resource
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression

from gpussl.records import Array

__all__ = ["KMeans", "LogisticRegression", "asarray", "device_name", "memory", "synchronize", "to_numpy"]


def asarray(X: Array) -> np.ndarray:
    """`X` as an array of this device."""
    return np.asarray(X)


def to_numpy(X: Array) -> np.ndarray:
    """`X` as an array of the host."""
    return np.asarray(X)


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
