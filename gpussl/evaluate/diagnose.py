"""Diagnose: what the report shows of the clusters and of how far their labels may go."""

import numpy as np
from array_api_compat import array_namespace

from gpussl import backend, seeds
from gpussl.numeric.arrays import arange_like, group_bounds, row_blocks, take_or
from gpussl.numeric.clusters import nearness
from gpussl.protocols import Judge
from gpussl.records import UNLABELLED, Array, ClusterExamples, Clustering, Dataset, Diagnostics, PseudoLabels

MAX_SHOWN = 20  # clusters
N_MEMBERS = 9  # of each


def diagnose(
    dataset: Dataset,
    clustering: Clustering,
    bought: Array,
    bought_labels: Array,
    spread: PseudoLabels,
    judge: Judge,
    seed: int,
) -> Diagnostics:
    """What there is to show after labels (m,) were bought at `bought` (m,) and `spread` to whole clusters."""
    xp, to_numpy = array_namespace(bought), backend.of(bought).to_numpy
    sizes = group_bounds(xp.sort(clustering.labels), clustering.centroids.shape[0])[1]
    everywhere = arange_like(clustering.labels.shape[0], clustering.labels)
    is_bought = spread.sources == everywhere  # right by construction, and so no sign of how far a label may go
    reached = PseudoLabels(xp.where(is_bought, UNLABELLED, spread.labels), spread.sources)
    return Diagnostics(
        bought=to_numpy(bought),
        bought_labels=to_numpy(bought_labels),
        cluster_sizes=to_numpy(take_or(sizes, xp.take(clustering.labels, bought), 0)),
        nearness=to_numpy(nearness(clustering)[reached.labels != UNLABELLED]),
        correct=judge.correct(reached),
        shown=_examples(dataset, to_numpy(clustering.labels), to_numpy(sizes), seed),
    )


def _examples(dataset: Dataset, labels: np.ndarray, sizes: np.ndarray, seed: int) -> list[ClusterExamples]:
    """The largest clusters, each with its mean and a few members."""
    rng = seeds.generator(seed, "examples")
    examples = []
    for number in np.argsort(-sizes, kind="stable")[:MAX_SHOWN]:
        members = np.flatnonzero(labels == number)
        if len(members):
            drawn = rng.choice(members, size=min(N_MEMBERS, len(members)), replace=False)
            examples.append(ClusterExamples(int(number), len(members), _mean(dataset.X_train, members), np.sort(drawn)))
    return examples


def _mean(X: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The mean (d,) of some rows of (n, d) raw values, which may be many and on disk."""
    blocks = row_blocks(len(members), X.shape[1] * X.itemsize)
    return sum(X[members[rows]].sum(axis=0, dtype=np.float64) for rows in blocks) / len(members)
