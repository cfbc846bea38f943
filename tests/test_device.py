"""What a run does on its device: the data stay there, a seed decides, and the twins come to the same."""

import dataclasses
import importlib

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

import gpussl
from gpussl import backend
from gpussl.runtime import store
from gpussl.tasks import prepare
from gpussl.tasks.run import run

CHAINS = {  # without knn, whose model file holds the points themselves
    "pixels": (
        "classifier=[logistic,mlp,self_training,xgboost,xgboost_test_stopped]", "classifier.self_training.max_epochs=5",
        "classifier.self_training.hidden_layer_sizes=[64,64,64,64,64,64]",
        "classifier.xgboost.n_estimators=20",
        "classifier.xgboost_test_stopped.n_estimators=20", "classifier.mlp.max_epochs=10", "cluster.n_clusters=50",
    ),
    "graph": ("propagate=[label_spreading,poisson]", "classifier=[logistic]", "select=coverage", "cluster=none"),
    "images": (
        "represent=[deskew,hog]", "features=pixels", "classifier=[convnet]", "classifier.convnet.n_steps=30",
        "classifier.convnet.channels=[8]", "classifier.convnet.hidden=16", "classifier.convnet.averaging=0.9",
    ),
    "mixture": ("represent=[pca]", "cluster=gaussian_mixture", "cluster.n_clusters=50", "classifier=[logistic]"),
    "umap": ("represent=[umap]", "classifier=[logistic]"),
    "hdbscan": ("represent=[pca]", "cluster=hdbscan", "classifier=[logistic]"),
    "autoencoder": (
        "represent=[autoencoder]", "represent.autoencoder.hidden_layer_sizes=[300,200]", "classifier=[logistic]",
    ),
}  # fmt: skip
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
SEEDS = 3


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("chain", [chain for chain in CHAINS if chain != "umap"])  # slow, and as `autoencoder`
def test_points_go_to_the_device_once_never_back_and_are_not_changed(chain, device, job, tmp_path, monkeypatch):
    wanted = job(*CHAINS[chain], f"device={device}", "baselines=none")
    dataset = wanted.data.load()
    monkeypatch.setattr(type(wanted.data), "load", lambda data: dataset)
    twin, loader = backend.select(device)[0], prepare.Loader()
    pixels, _ = loader.load(wanted, twin)
    before = store.digest(pixels.X_train, pixels.X_test)
    loader = prepare.Loader()
    raw = dataset.X_train, dataset.X_test

    def watch(owner, name, seen, is_seen):
        function = getattr(owner, name)

        def watched(X, *args, **kwargs):
            if is_seen(X):
                seen.append(tuple(X.shape))
            return function(X, *args, **kwargs)

        monkeypatch.setattr(owner, name, watched)

    there, back = [], []
    watch(twin, "asarray", there, lambda X: isinstance(X, np.ndarray))  # a tensor is where it is to be
    ways_back = [(twin, "to_numpy")]
    if device == "cuda":
        ways_back += [(torch.Tensor, "cpu"), (importlib.import_module("cupy"), "asnumpy")]
    for owner, name in ways_back:
        watch(owner, name, back, lambda X: not any(X is array for array in raw))
    run(wanted, tmp_path / "run", loader=loader)
    assert [shape for shape in there if shape in [X.shape for X in raw]] == [X.shape for X in raw]
    assert back
    if (chain, device) != ("images", "cpu"):  # gradients are cached on a CPU, where the way back is none
        assert not [shape for shape in back if len(shape) > 1 and shape[0] in map(len, raw)]
    pixels, was_there = loader.load(wanted, twin)
    assert was_there
    assert store.digest(pixels.X_train, pixels.X_test) == before


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("chain", ["pixels", "images", "mixture"])
def test_a_seed_decides(chain, device, job, tmp_path):
    wanted = job(*CHAINS[chain], f"device={device}", "baselines=none")
    runs = [run(wanted, tmp_path / name) for name in "ab"]
    for first, second in zip(*runs, strict=True):
        assert first.label_accuracy == second.label_accuracy
        assert first.test_accuracy == pytest.approx(second.test_accuracy, abs=0.01)  # a GPU's sums have no order
    first, second = (gpussl.load(tmp_path / name / "clustering.safetensors") for name in "ab")
    np.testing.assert_array_equal(first.labels, second.labels)


@pytest.mark.gpu
def test_devices_come_to_clusters_of_one_inertia(job, tmp_path):
    for name in ("cpu", "cuda"):
        run(job(f"device={name}", "classifier=[logistic]", "baselines=none"), tmp_path / name)
    of_cpu, of_device = (gpussl.load(tmp_path / name / "clustering.safetensors") for name in ("cpu", "cuda"))
    assert of_device.inertia == pytest.approx(of_cpu.inertia, rel=0.005)
    assert adjusted_rand_score(of_cpu.labels, of_device.labels) > 0.9  # from the same start


@pytest.mark.gpu
@pytest.mark.parametrize("chain", CHAINS)
def test_devices_are_as_accurate(chain, job, tmp_path):
    if chain == "umap":
        pytest.importorskip("umap", reason="the CPU's twin needs umap-learn")

    def mean_accuracies(device):
        wanted = job(*CHAINS[chain], f"device={device}", "baselines=none")
        runs = [run(dataclasses.replace(wanted, seed=seed), tmp_path / f"{device}{seed}") for seed in range(SEEDS)]
        return np.array([[row.test_accuracy for row in rows] for rows in runs]).mean(axis=0)

    of_device, of_cpu = mean_accuracies("cuda"), mean_accuracies("cpu")
    assert (of_device > of_cpu - 0.05).all()
    if (
        chain != "hdbscan"
    ):  # cuML's joins points by a graph of neighbours, and ends with other clusters where there are few
        assert of_device == pytest.approx(of_cpu, abs=0.05)
