"""The manifest: all that is needed to know what a run was made with, and what it cost."""

import dataclasses
import json
from typing import Any

from gpussl import seeds
from gpussl.records import Dataset
from gpussl.runtime import environment
from gpussl.runtime.config import Job
from gpussl.tasks.monitor import Monitor

SEEDED = ("cluster", "select", "random baseline", "report")


def describe(job: Job, dataset: Dataset, monitor: Monitor, reason: str) -> dict[str, Any]:
    """The manifest as JSON has it."""
    stages = monitor.stages
    of_parts = [
        stage.name.replace(" ", "/") for stage in stages if stage.name.startswith(("represent ", "cluster ", "train "))
    ]
    return {
        "name": job.name,
        "git_commit": environment.git_commit(),
        "code": environment.source_digest(),
        "versions": environment.versions(),
        "machine": environment.machine(),
        "device": {"requested": job.device, "reason": reason},
        "data": {
            "name": dataset.name,
            "n_train": len(dataset.X_train),
            "n_test": len(dataset.X_test),
            "sha256": dataset.checksums,
        },
        "seeds": {"run": job.seed, **{name: seeds.derive(job.seed, name) for name in (*SEEDED, *of_parts)}},
        "seconds": monitor.seconds(),
        "peak_memory_bytes": monitor.peak_memory(),
        "stages": [dataclasses.asdict(stage) for stage in stages],
    }


def to_json(described: dict[str, Any]) -> str:
    """The manifest as text."""
    return json.dumps(described, indent=2) + "\n"
