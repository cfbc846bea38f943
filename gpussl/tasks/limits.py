"""Memory limits, checked before the costly stages as far as the needs are known by then."""

import math

from array_api_compat import array_namespace

from gpussl.errors import ConfigError
from gpussl.numeric.rows import SHARE, in_gigabytes, is_mapped, refuse_beyond
from gpussl.records import UNLABELLED, Array, Dataset, TrainingSet
from gpussl.runtime.config import Job

DEVICE_SHARE = 9  # memory of a run on a GPU, in multiples of the points as float32: 8.3 measured in the main job


def check_device(dataset: Dataset, room: int | None) -> None:
    """Raise ConfigError if the data do not fit on a device with `room` bytes. None: points may stay on disk.

    Examples
    --------
    >>> import numpy as np
    >>> check_device(Dataset("table", np.zeros((1_000_000, 100))), room=10**9)
    Traceback (most recent call last):
    gpussl.errors.ConfigError: data: expected room for at least 3.6GB on the GPU, for 1,000,000 points of 100 features,
        found 1.0GB; take fewer points, free memory or raise memory_limit, or choose device=cpu with a memory_limit
    """
    n, d = len(dataset.X_train) + dataset.n_test, math.prod(dataset.X_train.shape[1:])
    needed = DEVICE_SHARE * 4 * n * d
    if room is not None and needed > room:
        raise ConfigError(
            f"data: expected room for at least {in_gigabytes(needed)} on the GPU, for {n:,} points of {d:,} features, "
            f"found {math.floor(room / 1e8) / 10}GB; take fewer points, free memory or raise memory_limit, or choose "
            "device=cpu with a memory_limit"
        )


def check_early(job: Job, dataset: Dataset, X_train: Array, limit: int | None) -> None:
    """Raise ConfigError if the raw data, or training data of known size, exceed the limit.

    Parameters
    ----------
    limit : int or None
        Bytes beyond which points stay on disk; None: they never do.

    Examples
    --------
    >>> import numpy as np
    >>> from gpussl.runtime import config
    >>> X = np.zeros((1000, 64), dtype=np.float32)
    >>> check_early(config.job("classifier=[knn]", "baselines=all"), Dataset("table", X), X, limit=10**6)
    Traceback (most recent call last):
    gpussl.errors.ConfigError: memory_limit: expected at least 0.1GB for data that are read into memory, found 0.001GB;
        raise it, or give large IDX files that are not gzipped
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
    """Raise ConfigError if the training points of a classifier exceed the limit.

    Examples
    --------
    >>> import numpy as np
    >>> from gpussl.records import PseudoLabels
    >>> from gpussl.runtime import config
    >>> labelled = TrainingSet("all", "all", "none", PseudoLabels(np.zeros(9, int), np.arange(9)), 9, 1.0)
    >>> check_training(config.job("classifier=[knn]"), np.zeros((9, 64)), [labelled], limit=10**9)  # fits
    """
    for training_set in training_sets if job.classifier else []:
        labels = training_set.pseudo_labels.labels
        n_labelled = int(array_namespace(labels).count_nonzero(labels != UNLABELLED))
        _check_training(limit, n_labelled, X_train.shape[1], training_set.name)


def _check_training(limit: int | None, n: int, n_features: int, name: str) -> None:
    cure = "train on fewer (as with propagate=[none] baselines=none)"
    refuse_beyond(limit, (n, n_features), f"training on {name}", cure)
