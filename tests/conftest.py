"""Fixtures of the suite."""

import importlib

import array_api_compat.numpy
import array_api_strict
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hypothesis import HealthCheck, settings

from gpussl import backend
from gpussl.errors import DeviceError
from gpussl.records import Clustering
from gpussl.runtime import config

settings.register_profile(
    "gpussl",
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("gpussl")


def gpu_or_none():
    """The GPU twin where there is one, else why there is none."""
    try:
        return backend.select("cuda")[0], ""
    except DeviceError as error:
        return None, str(error)


GPU, NO_GPU = gpu_or_none()


@pytest.fixture(params=["numpy", "strict", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request):
    """A namespace of the array API: the numeric code must run on each."""
    if request.param == "cupy":
        return importlib.import_module("array_api_compat.cupy")
    return {"numpy": array_api_compat.numpy, "strict": array_api_strict}[request.param]


@pytest.fixture
def host():
    """A function that brings an array of any namespace to NumPy."""
    return lambda array: backend.of(array).to_numpy(array)


def pytest_collection_modifyitems(items):
    """Skip the GPU tests with the reason where there is no GPU."""
    if GPU is None:
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason=NO_GPU))


@pytest.fixture
def make_clustering():
    """A function (xp, cluster of each point, distance of each point, number of clusters) -> `Clustering`."""

    def make(xp, labels, distances, n_clusters):
        return Clustering(
            centroids=xp.zeros((n_clusters, 2)),
            labels=xp.asarray(np.asarray(labels, dtype=np.int64)),
            distances=xp.asarray(np.asarray(distances, dtype=np.float64)),
            inertia=0.0,
            n_iter=0,
        )

    return make


@pytest.fixture
def composed():
    """A function (overrides) -> the composed configuration, as the command has it."""
    config.register()

    def make(*overrides, **kwargs):
        with initialize_config_dir(str(config.folder()), version_base="1.3"):
            return compose("config", list(overrides), **kwargs)

    return make


FAST = (
    "cluster.n_clusters=20",
    "classifier.mlp.hidden_layer_sizes=[16,16,16,16,16,16]",
    "classifier.mlp.max_epochs=2",
    "cache=null",
    "device=cpu",
)


def fast(overrides):
    """Those of `FAST` that settings chosen by `overrides` have."""
    without = {item.split("=")[0] for item in overrides if item.startswith("classifier=") and "mlp" not in item}
    without |= {"cluster" for item in overrides if item in ("cluster=none", "cluster=hdbscan")}
    return [item for item in FAST if item.split(".")[0] not in without]


@pytest.fixture
def job(composed):
    """A function (overrides) -> a checked job on the digits that runs in a second."""

    def make(*overrides):
        return config.build(composed(*fast(overrides), *overrides))

    return make
