"""The manifest of a run: code, versions, data, seeds and cost."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpussl.errors import ConfigError
from gpussl.records import Dataset, Stage
from gpussl.runtime import environment

# files in the folder of a run; the manifest is written last, and without it the run is not finished
MANIFEST = "manifest.json"
CONFIG = "config.yaml"
FAILED = "failed.txt"  # the error of a failed job of a sweep


def describe(
    name: str,
    device: str,
    reason: str,
    dataset: Dataset,
    seeds: Mapping[str, int],
    stages: Sequence[Stage],
    seconds: float,
    peak_memory: int,
) -> dict[str, Any]:
    """Return the manifest, as a dict for JSON.

    Parameters
    ----------
    name : str
        Name of the run.
    device, reason : str
        Requested device, and why the actual one was chosen.
    seeds : dict of str to int
        Seeds by use.

    Examples
    --------
    >>> import numpy as np
    >>> dataset = Dataset("table", np.zeros((2, 3)))
    >>> described = describe("mine", "auto", "no GPU", dataset, {"run": 0}, [], seconds=1.5, peak_memory=10**8)
    >>> described["data"]
    {'name': 'table', 'n_train': 2, 'n_test': 0, 'sha256': {}}
    """
    return {
        "name": name,
        "git_commit": environment.git_commit(),
        "code": environment.source_digest(),
        "versions": environment.versions(),
        "machine": environment.machine(),
        "device": {"requested": device, "reason": reason},
        "data": {
            "name": dataset.name,
            "n_train": len(dataset.X_train),
            "n_test": dataset.n_test,
            "sha256": dataset.checksums,
        },
        "seeds": dict(seeds),
        "seconds": seconds,
        "peak_memory_bytes": peak_memory,
        "stages": [dataclasses.asdict(stage) for stage in stages],
    }


def to_json(described: dict[str, Any]) -> str:
    """Return the manifest as JSON text.

    Examples
    --------
    >>> to_json({"seconds": 1.5}).splitlines()
    ['{', '  "seconds": 1.5', '}']
    """
    return json.dumps(described, indent=2) + "\n"


def check_folder(folder: Path) -> None:
    """Raise ConfigError if a folder contains a single run.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     check_folder(Path(folder))
    """
    if (folder / MANIFEST).exists():
        raise ConfigError(
            f"hydra.sweep.dir: expected a folder without a run in it, found a finished one in {folder}; name another"
        )
