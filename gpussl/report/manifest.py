"""The manifest: all that is needed to know what a run was made with, and what it cost."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from gpussl.records import Dataset, Stage
from gpussl.runtime import environment

# files of a run's folder; without the manifest, which is written last, nothing else there counts
MANIFEST = "manifest.json"
CONFIG = "config.yaml"
FAILED = "failed.txt"  # in the folder of a sweep's job that failed: why


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
    """The manifest as JSON has it.

    Parameters
    ----------
    name : str
        Of the run.
    device, reason : str
        What was asked for, and why which one was chosen.
    seeds : dict of str to int
        By use.
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
    """The manifest as text."""
    return json.dumps(described, indent=2) + "\n"
