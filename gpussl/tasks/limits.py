"""Limits: what `memory_limit` does not allow is refused before the costly stages, wherever that can be known."""

import math

from array_api_compat import array_namespace

from gpussl.errors import ConfigError
from gpussl.numeric.rows import SHARE, in_gigabytes, is_mapped, refuse_beyond
from gpussl.records import UNLABELLED, Array, Dataset, TrainingSet
from gpussl.runtime.config import Job

DEVICE_SHARE = 9  # times the points as float32 that a run takes on a GPU: the main job has taken 8.3


def check_device(dataset: Dataset, room: int | None) -> None:
    """Raise ConfigError if the data will not fit on a device with room for so many bytes, before they are put there.

    None: points that do not fit stay on disk.
    """
    n, d = len(dataset.X_train) + dataset.n_test, math.prod(dataset.X_train.shape[1:])
    needed = DEVICE_SHARE * 4 * n * d
    if room is not None and needed > room:
        raise ConfigError(
            f"data: expected room for at least {in_gigabytes(needed)} on the GPU, for {n:,} points of {d:,} features, "
            f"found {math.floor(room / 1e8) / 10}GB; take fewer points, free some or raise memory_limit, or add "
            "device=cpu and a memory_limit there"
        )


def check_early(job: Job, dataset: Dataset, X_train: Array, limit: int | None) -> None:
    """Raise ConfigError if the data as they were read, or what will surely be learnt from, are beyond the limit.

    Parameters
    ----------
    limit : int or None
        Bytes beyond which points stay on disk; None: they never do.
    """
    raw = dataset.X_train
    if limit is None:
        return
    if raw.nbytes * SHARE > limit and not is_mapped(raw):
        raise ConfigError(
            f"memory_limit: expected at least {in_gigabytes(raw.nbytes * SHARE)} for data that are read into memory, "
            f"found {limit / 1e9:g}GB; raise it, or give large IDX files that are not gzipped"
        )
    for name, stage in job.propagate.items():
        if stage.needs_all_points:
            refuse_beyond(limit, X_train.shape, f"propagate={name}", "choose propagate=[cluster]")
    seen = raw.shape if job.features.of_pixels else X_train.shape  # by classifiers
    for name, model in job.classifier.items():
        if model.learns_from_unlabelled:
            refuse_beyond(limit, seen, f"training on all points with {name}", "choose another classifier")
    if job.score_training and job.classifier:
        refuse_beyond(limit, seen, "score_training=true", "leave it out")
    if not job.classifier or job.features.needs_clusters:
        return
    if job.cluster.makes_clusters:
        for name, stage in job.propagate.items():
            if stage.percentile is not None:
                _check_training(limit, int(len(raw) * stage.percentile / 100), seen[1], name)
    if job.baselines == "all":
        _check_training(limit, len(raw), seen[1], "all")


def check_training(job: Job, X_train: Array, training_sets: list[TrainingSet], limit: int | None) -> None:
    """Raise ConfigError if a classifier would need more training points at once than the limit allows."""
    for training_set in training_sets if job.classifier else []:
        labels = training_set.pseudo_labels.labels
        n_labelled = int(array_namespace(labels).count_nonzero(labels != UNLABELLED))
        _check_training(limit, n_labelled, X_train.shape[1], training_set.name)


def _check_training(limit: int | None, n: int, n_features: int, name: str) -> None:
    cure = "train on fewer (as with propagate=[none] baselines=none)"
    refuse_beyond(limit, (n, n_features), f"training on {name}", cure)
