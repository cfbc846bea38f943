"""The environment of a result: library versions, source code, commit and machine."""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

from gpussl.runtime import plugins

PACKAGE = Path(__file__).parent.parent
LIBRARIES = (
    "numpy", "scipy", "scikit-learn", "torch", "xgboost", "xgboost-cpu", "safetensors", "hydra-core", "cupy-cuda13x",
    "cuml-cu13", "umap-learn", "pynndescent", "numba",
)  # fmt: skip


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python, gpussl and the installed `LIBRARIES`.

    Examples
    --------
    >>> versions()["python"] == platform.python_version()
    True
    """
    found = {"python": platform.python_version()}
    for name in ("gpussl", *LIBRARIES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def source_digest() -> str:
    """Return the SHA-256 of the source code of gpussl and its plugins, so that no version reads the cache of another.

    Examples
    --------
    >>> len(source_digest())
    64
    """
    total = hashlib.sha256(_package_digest().encode())
    for path in plugins.files():
        total.update(path.read_bytes() + b"\0")
    return total.hexdigest()


@cache
def _package_digest() -> str:
    total = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        total.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def git_commit() -> str | None:
    """Return the commit that gpussl runs from, with the suffix "-dirty" if tracked files have changed.

    Returns
    -------
    str or None
        None if gpussl does not run from its own repository, or git is missing.

    Examples
    --------
    >>> commit = git_commit()
    >>> commit is None or len(commit.removesuffix("-dirty")) >= 40
    True
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(PACKAGE), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # fails if gpussl is merely installed inside a repository
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def threads() -> dict[str, int | str]:
    """Return what decides the number of threads: the CPUs that this process may use, and the variables that limit it.

    The last bits of sums depend on it, and with them networks, boosted trees and mixtures.

    Examples
    --------
    >>> threads()["cpus"] > 0
    True
    """
    limits = {name: value for name, value in sorted(os.environ.items()) if name.endswith("_NUM_THREADS")}
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"cpus": cpus, **limits}


def machine() -> dict[str, Any]:
    """Return the properties of the machine that timings and, through the number of threads, the MLP depend on.

    Examples
    --------
    >>> list(machine())
    ['platform', 'machine', 'cpu_count', 'threads', 'torch_threads', 'blas_threads']
    """
    torch = sys.modules.get("torch")  # imported only if a network was trained
    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "threads": threads(),
        "torch_threads": None if torch is None else torch.get_num_threads(),
        "blas_threads": max(blas, default=None),
    }
