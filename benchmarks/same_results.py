"""Do two commits give the same results? Runs the same jobs on both and compares every row, except for its seconds.

Each commit is checked out into a folder of its own under outputs/same_results; jobs that an earlier call has finished
are not run again. Exit code 1 if a row differs.
"""

import argparse
import csv
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "outputs" / "same_results"
CLOCK = {"fit_seconds", "predict_seconds"}
SELECTIONS = (
    "nearest_to_centroid", "typical", "cluster_budget", "coverage", "random", "stratified", "first", "all",
)  # fmt: skip
CLASSIFIERS = {
    "convnet": ["n_steps=20", "batch_size=16"],
    "knn": [],
    "logistic": [],
    "mlp": ["max_epochs=3", "hidden_layer_sizes=[64,32,32,32,32,32]"],
    "self_training": ["max_epochs=3", "hidden_layer_sizes=[64,32,32,32,32,32]"],
    "study_convnet": ["max_epochs=2", "channels=[8,8,8]"],
    "xgboost": ["n_estimators=30"],
}
ON_DIGITS = [
    "data=digits",
    "propagate=[none,cluster,nearest,label_spreading,poisson]",
    f"classifier=[{','.join(CLASSIFIERS)}]",
    *(f"classifier.{name}.{setting}" for name, settings in CLASSIFIERS.items() for setting in settings),
]
JOBS = {
    "fashion_propagation-0": ["+experiment=fashion_propagation", "seed=0"],
    "fashion_propagation-1": ["+experiment=fashion_propagation", "seed=1"],
    "mnist_permutations": ["+experiment=mnist_permutations"],
    "label_budget": ["+experiment=label_budget"],
    "label_budget-coverage": ["+experiment=label_budget", "select=coverage"],
    "views": [
        "views=2", "represent=[pca]", "represent.pca.n_components=20", "cluster=gaussian_mixture", "allocate=true",
    ],
    **{f"digits-{select}": [*ON_DIGITS, f"select={select}"] for select in SELECTIONS},
}  # fmt: skip


def checkout(commit):
    """A folder with the files of a commit, and the full hash of the commit."""
    name = subprocess.run(
        ["git", "rev-parse", "--verify", f"{commit}^{{commit}}"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    tree = FOLDER / name[:12] / "tree"
    if not tree.exists():
        tree.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(tree), name], cwd=ROOT, check=True)
    return tree


def run(tree, job):
    """The rows of a job at a commit, and the seconds of its process, None if an earlier call ran it."""
    folder, seconds = tree.parent / job, None
    if not (folder / "manifest.json").is_file():
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tree)}
        command = [sys.executable, "-m", "gpussl", *JOBS[job], "device=cpu", "cache=null", f"hydra.run.dir={folder}"]
        start = time.perf_counter()
        subprocess.run(command, cwd=tree, env=environment, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
    table = next(folder / name for name in ("results.csv", "budget.csv") if (folder / name).is_file())
    with table.open(newline="") as file:
        rows = [{name: value for name, value in row.items() if name not in CLOCK} for row in csv.DictReader(file)]
    return rows, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commits", nargs="+", help="one commit to run its jobs, or two to compare them")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    chosen = parser.parse_args()
    trees = [checkout(commit) for commit in chosen.commits]
    n_different = 0
    for job in chosen.jobs:
        ran = [run(tree, job) for tree in trees]
        seconds = ", ".join("before" if took is None else f"{took:.1f} s" for _, took in ran)
        (expected, _), *others = ran
        different = [
            (a, b)
            for rows, _ in others
            for a, b in zip(
                expected + [None] * (len(rows) - len(expected)), rows + [None] * len(expected), strict=False
            )
            if a != b
        ]
        n_different += len(different)
        print(f"{job}: {len(expected)} rows, {len(different)} different ({seconds})", flush=True)
        for pair in different:
            print(*pair, sep="\n")
    sys.exit(bool(n_different))


if __name__ == "__main__":
    main()
