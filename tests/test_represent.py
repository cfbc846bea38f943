"""Representations that are learnt: each on images, alone and in a chain."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from gpussl import pipeline
from gpussl.data import Digits
from gpussl.errors import ConfigError
from gpussl.represent import PCA, UMAP, scale
from gpussl.represent.autoencoder import Autoencoder
from gpussl.represent.contrastive import Contrastive, _contrast

DIGITS = Digits().load()
TRAIN, TEST = scale(DIGITS.X_train, DIGITS.X_test, DIGITS.max_value)
STEPS = {
    "umap": UMAP(n_components=4),
    "autoencoder": Autoencoder(n_components=8, hidden_layer_sizes=[64], max_epochs=8, batch_size=64),
    "contrastive": Contrastive(channels=[16, 32], n_projected=16, n_steps=60, batch_size=128, with_pixels=False),
}


def agreement(train, test):
    """How many test points have the class of their nearest training point."""
    squared = (test**2).sum(1)[:, None] - 2 * test @ train.T + (train**2).sum(1)[None, :]
    return np.mean(DIGITS.y_train[squared.argmin(axis=1)] == DIGITS.y_test)


@pytest.mark.parametrize("name", STEPS)
def test_a_representation_keeps_what_matters_and_its_seed_makes_it(name):
    made, again = (STEPS[name].fit_transform(TRAIN, TEST, seed=1) for _ in range(2))
    width = {"umap": 4, "autoencoder": 8, "contrastive": 32}[name]
    for part, same, n in zip(made, again, (1297, 500), strict=True):
        assert part.shape == (n, width)
        assert part.dtype == np.float32
        assert np.isfinite(part).all()
        np.testing.assert_array_equal(part, same)
    other = STEPS[name].fit_transform(TRAIN, TEST, seed=2)
    assert not np.array_equal(made[0], other[0])
    assert agreement(*made) > 0.8  # of 0.96 with all 64 pixels


def test_contrastive_learning_learns_and_pixels_stand_beside_what_it_sees():
    learnt = STEPS["contrastive"]
    untrained = dataclasses.replace(learnt, n_steps=1, learning_rate=1e-9)
    found = agreement(*learnt.fit_transform(TRAIN, TEST, seed=1))
    assert found > agreement(*untrained.fit_transform(TRAIN, TEST, seed=1)) + 0.02
    both, _ = dataclasses.replace(learnt, with_pixels=True).fit_transform(TRAIN, TEST, seed=1)
    np.testing.assert_allclose(np.linalg.norm(both[:, 32:], axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(both[:, 32:], TRAIN / np.linalg.norm(TRAIN, axis=1, keepdims=True), atol=1e-6)


def test_other_test_points_are_not_taken_from_the_cache(job, tmp_path, monkeypatch):
    overrides = ("represent=[umap]", "represent.umap.n_components=3", "classifier=[knn]", "propagate=[none]")
    overrides += ("baselines=none", f"cache={tmp_path / 'cache'}")
    (first,) = pipeline.run(job(*overrides), tmp_path / "first")
    load = Digits.load

    def backwards(self):
        dataset = load(self)
        return dataclasses.replace(dataset, X_test=dataset.X_test[::-1].copy(), y_test=dataset.y_test[::-1].copy())

    monkeypatch.setattr(Digits, "load", backwards)
    (second,) = pipeline.run(job(*overrides), tmp_path / "second")
    assert abs(first.test_accuracy - second.test_accuracy) < 0.05  # old points beside new labels would be a tenth right


def test_an_autoencoder_of_straight_layers_finds_the_principal_plane():
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(600, 2)) @ rng.normal(size=(2, 12))).astype(np.float32)
    linear = Autoencoder(n_components=2, hidden_layer_sizes=[], noise=0.0, max_epochs=60, learning_rate=0.02)
    found, _ = linear.fit_transform(points, points[:5], seed=0)
    plane, _ = PCA(2).fit_transform(points, points[:5], seed=0)
    inputs = np.column_stack([found, np.ones(len(found))])
    _, left, *_ = np.linalg.lstsq(inputs, plane, rcond=None)  # one is a linear map of the other
    assert (left / plane.var(axis=0) / len(plane) < 0.02).all()


def test_the_contrastive_loss_is_that_of_a_loop():
    features = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    unit = features / features.norm(dim=1, keepdim=True)
    losses = []
    for i in range(8):
        others = [j for j in range(8) if j != i]
        scores = torch.stack([unit[i] @ unit[j] / 0.5 for j in others])
        losses.append(torch.logsumexp(scores, 0) - unit[i] @ unit[(i + 4) % 8] / 0.5)
    assert float(_contrast(features, 0.5)) == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)


def test_a_chain_is_gone_through_in_order_and_what_is_costly_is_kept(job, tmp_path):
    overrides = ("represent=[pca,umap]", "represent.pca.n_components=9", "represent.umap.n_components=3")
    overrides += ("cluster=gaussian_mixture", "classifier=[logistic]", f"cache={tmp_path / 'cache'}")
    stages, accuracies = [], []
    for name in ("first", "second"):
        accuracies.append([result.test_accuracy for result in pipeline.run(job(*overrides), tmp_path / name)])
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        stages.append({stage["name"]: stage for stage in manifest["stages"]})
        assert {"represent/pca", "represent/umap"} <= set(manifest["seeds"])
    first, second = stages
    assert [name for name in first if name.startswith("represent")] == ["represent pca", "represent umap"]
    assert (first["represent pca"]["note"], first["represent umap"]["note"]) == ("9 features", "3 features")
    assert [stage["represent umap"]["cached"] for stage in stages] == [False, True]
    assert not second["represent pca"]["cached"]
    assert accuracies[0] == accuracies[1]


def test_classifiers_may_see_pixels_however_the_rest_sees_the_points(job, tmp_path):
    few = ("baselines=none", "propagate=[none]", "classifier=[logistic]", "select=random", "cluster=none")
    (with_pca,) = pipeline.run(
        job(*few, "represent=[pca]", "represent.pca.n_components=3", "features=pixels"), tmp_path / "a"
    )
    (with_pixels,) = pipeline.run(job(*few), tmp_path / "b")
    assert with_pca.test_accuracy == with_pixels.test_accuracy
    (without,) = pipeline.run(job(*few, "represent=[pca]", "represent.pca.n_components=3"), tmp_path / "c")
    assert without.test_accuracy < with_pixels.test_accuracy


@pytest.mark.parametrize(
    ("step", "n", "message"),
    [
        (
            UMAP(n_neighbors=15),
            15,
            r"represent\.umap\.n_neighbors: expected at most 14 for 15 training points, found 15",
        ),
        (UMAP(n_components=10, n_neighbors=5), 11, r"represent\.umap\.n_components: expected at most 9"),
        (
            Contrastive(image_shape=[7, 9]),
            20,
            "expected images, whose pixels are the features, found 64 features and 7 x",
        ),
    ],
)
def test_what_cannot_be_is_said(step, n, message):
    with pytest.raises(ConfigError, match=message):
        step.fit_transform(TRAIN[:n], TEST[:3], seed=0)
