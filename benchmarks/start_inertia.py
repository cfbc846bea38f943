"""Our k-means|| start against scikit-learn's default: inertia after convergence and seconds, 500 clusters, five seeds.

Both alternate in one process, on the same float32 pixels of Fashion-MNIST's training images. Writes
results/start_inertia.csv.
"""

import csv
import statistics
import time
from pathlib import Path

import peers
from sklearn.cluster import KMeans as SklearnKMeans

from gpussl.cluster.kmeans import KMeans

N_CLUSTERS, SEEDS = 500, range(5)
RESULTS = Path(__file__).parent / "results" / "start_inertia.csv"


def timed(work):
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def main():
    X, *_ = peers.load("fashion_mnist")
    rows = []
    for seed in SEEDS:
        ours, our_seconds = timed(lambda seed=seed: KMeans(n_clusters=N_CLUSTERS).fit(X, seed))
        theirs, their_seconds = timed(lambda seed=seed: SklearnKMeans(N_CLUSTERS, random_state=seed).fit(X))
        rows.append(
            {
                "seed": seed,
                "ours_inertia": round(ours.inertia, 1),
                "sklearn_inertia": round(float(theirs.inertia_), 1),
                "ratio": round(ours.inertia / float(theirs.inertia_), 5),
                "ours_seconds": round(our_seconds, 1),
                "sklearn_seconds": round(their_seconds, 1),
            }
        )
        print(rows[-1], flush=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print("mean ratio of inertias", round(statistics.fmean(row["ratio"] for row in rows), 5))
    print("median ratio of seconds", statistics.median(r["sklearn_seconds"] / r["ours_seconds"] for r in rows))


if __name__ == "__main__":
    main()
