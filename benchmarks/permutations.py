"""All K! allocations of classes to clusters: seconds on one core and peak memory, from the contingency table of 10,000
predictions. Writes results/permutations.csv.
"""

import csv
import math
import os
import statistics
import time
import tracemalloc
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from gpussl.backend import cpu
from gpussl.numeric.allocations import contingency, score_allocations

N_POINTS, REPEATS = 10_000, {10: 15, 11: 5, 12: 3}
RESULTS = Path(__file__).parent / "results" / "permutations.csv"


def main():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rng = np.random.default_rng(0)
    rows = []
    for k, repeats in REPEATS.items():
        classes = rng.integers(0, k, N_POINTS)
        clusters = np.where(rng.random(N_POINTS) < 0.5, classes, rng.integers(0, k, N_POINTS))
        table = contingency(clusters, classes, k, k, cpu)
        first, seconds = timed(table), [timed(table) for _ in range(repeats)]
        tracemalloc.start()
        found = score_allocations(table, cpu)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        if found.score != table[linear_sum_assignment(table, maximize=True)].sum():
            raise SystemExit(f"{k} clusters: the best allocation is not the assignment algorithm's")
        rows.append(
            {
                "clusters": k,
                "allocations": math.factorial(k),
                "first_ms": round(1000 * first, 1),  # includes making the plan, which is cached
                "median_ms": round(1000 * statistics.median(seconds), 1),
                "peak_memory_MB": round(peak / 1e6, 1),
            }
        )
        print(rows[-1], flush=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def timed(table):
    start = time.perf_counter()
    score_allocations(table, cpu)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
