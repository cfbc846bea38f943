"""The main job as a whole process: seconds and peak memory of a first run, and of runs that find its clustering cached.

Writes results/main_job.csv. The data must already be available locally.
"""

import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "main_job.csv"
JOBS = {
    "first run": [],
    "the same again": [],
    # another percentile and other penalties: all models are retrained, except MLPs with unchanged labels
    "same clustering, another percentile": ["propagate.nearest.percentile=30"],
    "same clustering, every model anew": [
        "propagate.nearest.percentile=30",
        "classifier.logistic_study.C=0.19",
        "classifier.mlp_study.weight_decay=0.011",
    ],
}


def run(folder, name, overrides):
    command = [sys.executable, "-m", "gpussl", "+experiment=fashion_propagation", "device=cpu"]
    command += [
        f"cache={folder}/cache",
        f"hydra.run.dir={folder}/{name.replace(' ', '-').replace(',', '')}",
        *overrides,
    ]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    manifest = json.loads((Path(command[-1 - len(overrides)].split("=")[1]) / "manifest.json").read_text())
    return {
        "run": name,
        "seconds": round(seconds, 1),
        "peak_memory_GB": round(manifest["peak_memory_bytes"] / 1e9, 2),
        "stages_from_cache": sum(stage["cached"] for stage in manifest["stages"]),
    }


def main():
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for name, overrides in JOBS.items():
            rows.append(run(folder, name, overrides))
            print(rows[-1], flush=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
