"""What a run does on its device: the data stay there, a seed decides, and the twins come to the same."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import adjusted_rand_score

import gpussl
from gpussl import backend, pipeline

CHAINS = {  # without knn, whose model file holds the points themselves
    "pixels": ("classifier=[logistic,mlp,xgboost]", "classifier.xgboost.n_estimators=2"),
    "graph": ("propagate=[label_spreading,poisson]", "classifier=[logistic]", "select=coverage", "cluster=none"),
    "images": (
        "represent=[deskew,hog]", "features=pixels", "classifier=[convnet]", "classifier.convnet.n_steps=5",
        "classifier.convnet.channels=[8]", "classifier.convnet.hidden=16",
    ),
    "mixture": ("represent=[pca]", "cluster=gaussian_mixture", "cluster.n_clusters=10", "classifier=[logistic]"),
    "umap": ("represent=[umap]", "classifier=[logistic]"),
    "hdbscan": ("represent=[pca]", "cluster=hdbscan", "classifier=[logistic]"),
    "autoencoder": ("represent=[autoencoder]", "represent.autoencoder.max_epochs=1", "classifier=[logistic]"),
}  # fmt: skip


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    """Where to run."""
    return request.param


@pytest.mark.parametrize("chain", [chain for chain in CHAINS if chain != "umap"])  # slow, and as `autoencoder`
def test_points_go_to_the_device_once_and_never_back(chain, device, job, tmp_path, monkeypatch):
    wanted = job(*CHAINS[chain], f"device={device}", "baselines=none")
    dataset = wanted.data.load()
    monkeypatch.setattr(type(wanted.data), "load", lambda data: dataset)
    raw = (dataset.X_train, dataset.X_test)
    twin = backend.select(device)[0]
    asarray, to_numpy = twin.asarray, twin.to_numpy
    there, back = [], []  # how many numbers

    def counted_asarray(X):
        if isinstance(X, np.ndarray):  # a tensor is where it is to be
            there.append(X.size)
        return asarray(X)

    def counted_to_numpy(X):
        if not any(X is of_host for of_host in raw):
            back.append(math.prod(X.shape))
        return to_numpy(X)

    monkeypatch.setattr(twin, "asarray", counted_asarray)
    monkeypatch.setattr(twin, "to_numpy", counted_to_numpy)
    pipeline.run(wanted, tmp_path / "run")
    assert sorted(there)[-2:] == sorted(X.size for X in raw)
    assert back
    assert max(sorted(there)[:-2] + back) < min(X.size for X in raw)  # labels, weights, edges, centroids


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.gpu
def test_a_seed_decides_on_the_gpu_too(chain, job, tmp_path):
    wanted = job(*CHAINS[chain], "device=cuda", "baselines=none")
    runs = [pipeline.run(wanted, tmp_path / name) for name in "ab"]
    assert [(row.label_accuracy, row.accuracy) for row in runs[0]] == [(r.label_accuracy, r.accuracy) for r in runs[1]]
    if wanted.cluster.n_clusters:
        first, second = (gpussl.load(tmp_path / name / "clustering.safetensors") for name in "ab")
        np.testing.assert_array_equal(first.labels, second.labels)


@pytest.mark.gpu
def test_both_devices_come_to_clusters_of_one_inertia(job, tmp_path):
    for name in ("cpu", "cuda"):
        pipeline.run(job(f"device={name}", "classifier=[logistic]", "baselines=none"), tmp_path / name)
    of_cpu, of_gpu = (gpussl.load(tmp_path / name / "clustering.safetensors") for name in ("cpu", "cuda"))
    assert of_gpu.inertia == pytest.approx(of_cpu.inertia, rel=0.005)
    assert adjusted_rand_score(of_cpu.labels, of_gpu.labels) > 0.9  # from the same start


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.gpu
def test_both_devices_are_as_accurate(chain, job, tmp_path):
    accuracies = {}
    for name in ("cpu", "cuda"):
        runs = [
            pipeline.run(
                job(*CHAINS[chain], f"device={name}", f"seed={seed}", "baselines=none"), tmp_path / f"{name}{seed}"
            )
            for seed in range(5)
        ]
        accuracies[name] = np.array([[row.accuracy for row in rows] for rows in runs])
    low, high = stats.ttest_rel(accuracies["cuda"], accuracies["cpu"]).confidence_interval(0.999)
    assert (low <= 1e-9).all()
    assert (high >= -1e-9).all()
