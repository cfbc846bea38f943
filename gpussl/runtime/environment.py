"""What a result was made with: versions, code, commit, machine."""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

from threadpoolctl import threadpool_info

from gpussl.runtime import plugins

PACKAGE = Path(__file__).parent.parent
LIBRARIES = (
    "numpy", "scipy", "scikit-learn", "torch", "xgboost", "xgboost-cpu", "safetensors", "hydra-core", "cupy-cuda13x",
    "cuml-cu13", "umap-learn", "pynndescent", "numba",
)  # fmt: skip


@cache
def versions() -> dict[str, str]:
    """Versions of Python, gpussl and the libraries that do the work, those that are installed."""
    found = {"python": platform.python_version()}
    for name in ("gpussl", *LIBRARIES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def source_digest() -> str:
    """sha256 of gpussl's own code and that of the plugins: another version does not take what one has cached."""
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
    """The commit gpussl runs from, with "-dirty" after it if files were changed; None outside its own repository."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(PACKAGE), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # not some other repository that holds an environment
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def machine() -> dict[str, str | int | None]:
    """The machine, as far as a result or its time may depend on it: the MLP's results depend on the threads."""
    torch = sys.modules.get("torch")  # imported only where a network was trained
    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "torch_threads": None if torch is None else torch.get_num_threads(),
        "blas_threads": max(blas, default=None),
    }
