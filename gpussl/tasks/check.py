"""Checks, before any work, that the stages of a job fit together and fit the data."""

from gpussl.errors import ConfigError
from gpussl.records import Dataset
from gpussl.runtime import store
from gpussl.runtime.config import Job


def check_job(job: Job) -> None:
    """Raise ConfigError if the stages of a job do not fit together, or a classifier cannot be saved.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> check_job(config.job("cluster=none", "select=random", "classifier=[knn]"))
    Traceback (most recent call last):
    gpussl.errors.ConfigError: propagate=cluster: expected clusters to propagate labels in, found none;
        choose some with cluster=..., or propagate=[none]
    """
    _check_images(job)
    _check_files(job)
    for model in job.classifier.values():
        store.check_savable(type(model))
    if job.cluster.makes_clusters:
        return
    cure = "found none; choose some with cluster=..."
    if job.select.needs_clusters:
        raise ConfigError(f"select={job.select.name}: expected clusters, {cure}, or labels without them: select=random")
    for name, propagation in job.propagate.items():
        if propagation.needs_clusters:
            raise ConfigError(
                f"propagate={name}: expected clusters to propagate labels in, {cure}, or propagate=[none]"
            )
    if job.features.needs_clusters:
        raise ConfigError(f"features: expected clusters, {cure}, or features=represented")
    if job.allocate:
        raise ConfigError(f"allocate=true: expected clusters, {cure}")
    if job.views > 1:
        raise ConfigError(f"views: expected clusters to agree on, {cure}, or views=1")


def check_data(job: Job, dataset: Dataset) -> None:
    """Raise ConfigError if a data set has fewer points than a job needs, or no images for stages that need them.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> check_data(config.job("classifier=[knn]", "represent=[hog]"), Dataset("table", [[0.0]] * 100))
    Traceback (most recent call last):
    gpussl.errors.ConfigError: hog: expected images, found data=table, which has none
    """
    for sized in (job.cluster, job.select):
        sized.check_size(len(dataset.X_train))
    if dataset.image_shape is None:
        for group in (job.represent, job.classifier):
            for name, stage in group.items():
                if stage.needs_images:
                    raise ConfigError(f"{name}: expected images, found data={dataset.name}, which has none")


def _check_files(job: Job) -> None:
    """Refuse names of which two models would have one file."""
    sets = [*job.propagate, "random", "all"]
    files = [f"{training_set}-{name}" for training_set in sets for name in job.classifier]
    for file in files:
        if files.count(file) > 1:
            raise ConfigError(
                f"classifier: expected names that make one file for each model, found two models for {file}; choose "
                "other names"
            )


def _check_images(job: Job) -> None:
    """Stages that need images must come before any step with other output."""
    made_of = ""
    for name, step in job.represent.items():
        if step.needs_images and made_of:
            raise ConfigError(
                f"represent={name}: expected images, found the output of {made_of}; put {name} before {made_of}"
            )
        made_of = made_of if step.keeps_images else made_of or name
    if job.features.of_pixels:
        return
    what = made_of and f"represent={made_of}"
    if job.features.needs_clusters:
        what = "distances to centroids"
    for name, model in job.classifier.items():
        if model.needs_images and what:
            raise ConfigError(
                f"classifier={name}: expected images to learn from, found {what}; choose features=pixels, or another "
                "classifier"
            )
