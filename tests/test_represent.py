"""Representations: each on images, alone and in a chain."""

import dataclasses
import json

import numpy as np
import pytest

from gpussl.data.digits import Digits
from gpussl.errors import ConfigError
from gpussl.represent.autoencoder import Autoencoder
from gpussl.represent.deskew import Deskew
from gpussl.represent.hog import HOG
from gpussl.represent.pca import PCA
from gpussl.represent.umap import UMAP
from gpussl.tasks.run import run
from tests.digits import DIGITS, TEST, TRAIN, fit_transform

STEPS = {
    "umap": UMAP(n_components=4),
    "autoencoder": Autoencoder(n_components=8, hidden_layer_sizes=[64], max_epochs=8, batch_size=64),
}
QUICK = tuple(
    f"represent.autoencoder.{setting}"
    for setting in ("n_components=8", "hidden_layer_sizes=[64]", "max_epochs=8", "batch_size=64")
)


def agreement(train, test):
    """How many test points have the class of their nearest training point."""
    squared = (test**2).sum(1)[:, None] - 2 * test @ train.T + (train**2).sum(1)[None, :]
    return np.mean(DIGITS.y_train[squared.argmin(axis=1)] == DIGITS.y_test)


@pytest.mark.parametrize("name", STEPS)
def test_a_representation_keeps_what_matters_and_its_seed_makes_it(name):
    made, again = (fit_transform(STEPS[name], TRAIN, TEST, seed=1) for _ in range(2))
    width = {"umap": 4, "autoencoder": 8}[name]
    for part, same, n in zip(made, again, (1297, 500), strict=True):
        assert part.shape == (n, width)
        assert part.dtype == np.float32
        assert np.isfinite(part).all()
        np.testing.assert_array_equal(part, same)
    other = fit_transform(STEPS[name], TRAIN, TEST, seed=2)
    assert not np.array_equal(made[0], other[0])
    assert agreement(*made) > 0.8  # of 0.96 with all 64 pixels


def strokes(lean, shape=(15, 21), at=(7.0, 10.0), reach=5):
    """An image of a stroke through a place, so many pixels to the right for one pixel down."""
    image, row = np.zeros(shape, dtype=np.float32), int(at[0])
    for down in range(-reach, reach + 1):
        across = at[1] + lean * down
        left = int(np.floor(across))
        image[row + down, left : left + 2] = left + 1 - across, across - left
    return image


@pytest.mark.parametrize("lean", [-0.8, -0.3, 0.0, 0.5])
def test_a_deskewed_stroke_is_that_which_stood_upright_in_the_middle(lean):
    leaning = strokes(lean, at=(6.0, 11.0)).reshape(1, -1)
    upright, same = fit_transform(Deskew(image_shape=[15, 21]), leaning, leaning, seed=0)
    np.testing.assert_array_equal(upright, same)
    np.testing.assert_allclose(upright.reshape(15, 21).sum(axis=1), strokes(0).sum(axis=1), atol=1e-5)
    columns = np.arange(21) - 10.0
    width = np.sqrt(upright.reshape(15, 21).sum(axis=0) @ columns**2 / upright.sum())
    assert width < 0.6  # interpolated twice; the stroke that leans by 0.5 has 1.6


def test_deskewed_digits_are_centred_and_lean_to_neither_side():
    shear = np.random.default_rng(0).integers(-1, 2, 400)
    images = np.zeros((400, 16, 16), dtype=np.float32)
    for image, digit, lean in zip(images, TRAIN.reshape(-1, 8, 8), shear, strict=False):
        for row in range(8):
            image[row + 3, 4 + (lean * row) // 3 : 12 + (lean * row) // 3] = digit[row]
    upright, _ = fit_transform(Deskew(), images.reshape(400, -1), images[:1].reshape(1, -1), seed=0)
    upright = upright.reshape(400, 16, 16)
    places, ink = np.arange(16) - 7.5, upright.sum(axis=(1, 2))
    down, across = upright.sum(axis=2) @ places / ink, upright.sum(axis=1) @ places / ink
    assert max(np.abs(down).max(), np.abs(across).max()) < 0.05
    covariance = np.einsum("nij,i,j->n", upright, places, places) / ink - down * across
    assert np.abs(covariance).max() < 0.2
    np.testing.assert_allclose(ink, images.sum(axis=(1, 2)), rtol=0.02)  # hardly anything has left the image


def test_a_blank_image_stays_blank():
    blank = np.zeros((2, 64), dtype=np.float32)
    for step in (Deskew(), HOG()):
        for made in fit_transform(step, blank, blank, seed=0):
            assert not made.any()


@pytest.mark.parametrize("step", [Deskew(), HOG(), HOG(n_cells=100), HOG(n_cells=3, blur=0.01)])
def test_whatever_the_images_are_the_features_are_finite_and_none_give_none(step):
    images = np.random.default_rng(0).normal(size=(5, 36)).astype(np.float32)
    train, test = fit_transform(step, images, images[:0], seed=0)
    assert np.isfinite(train).all()
    assert test.shape == (0, train.shape[1])


def histograms_of_a_loop(image, n_cells, n_orientations, blur):
    """HOG by its definition, pixel by pixel."""
    height, width = image.shape
    found = np.zeros((n_orientations, n_cells, n_cells))
    weights = []
    for size in (height, width):
        side = size / n_cells
        near = [
            [np.exp(-0.5 * ((i + 0.5 - (cell + 0.5) * side) / (blur * side)) ** 2) for i in range(size)]
            for cell in range(n_cells)
        ]
        weights.append([np.array(row) / sum(row) for row in near])
    for i in range(height):
        for j in range(width):
            down = (image[i + 1, j] - image[i - 1, j]) / 2 if 0 < i < height - 1 else 0.0
            across = (image[i, j + 1] - image[i, j - 1]) / 2 if 0 < j < width - 1 else 0.0
            turns = np.arctan2(down, across) / (2 * np.pi) * n_orientations
            lower = int(np.floor(turns))
            for direction, share in ((lower, lower + 1 - turns), (lower + 1, turns - lower)):
                for a in range(n_cells):
                    for b in range(n_cells):
                        part = weights[0][a][i] * weights[1][b][j]
                        found[direction % n_orientations, a, b] += share * np.hypot(down, across) * part
    return np.sqrt(found)


@pytest.mark.parametrize(("shape", "n_cells", "n_orientations"), [((8, 8), 3, 8), ((6, 9), 2, 5), ((1, 5), 2, 4)])
def test_histograms_of_oriented_gradients_are_those_of_a_loop(shape, n_cells, n_orientations):
    images = np.random.default_rng(0).random((3, *shape)).astype(np.float32)
    hog = HOG(n_cells=n_cells, n_orientations=n_orientations, image_shape=list(shape))
    found, _ = fit_transform(hog, images.reshape(3, -1), images[:1].reshape(1, -1), seed=0)
    assert found.dtype == np.float32
    for image, histograms in zip(images, found, strict=True):
        expected = histograms_of_a_loop(image.astype(float), n_cells, n_orientations, hog.blur)
        np.testing.assert_allclose(histograms**2, expected.ravel() ** 2, rtol=1e-4, atol=1e-6)  # a root loosens nought


def test_histograms_keep_what_matters():
    assert agreement(*fit_transform(HOG(n_cells=4), TRAIN, TEST, seed=0)) > 0.96


def test_other_test_points_are_not_taken_from_the_cache(job, tmp_path, monkeypatch):
    overrides = ("represent=[autoencoder]", *QUICK, "classifier=[knn]", "propagate=[none]")
    overrides += ("baselines=none", f"cache={tmp_path / 'cache'}")
    (first,) = run(job(*overrides), tmp_path / "first")
    load = Digits.load

    def backwards(self):
        dataset = load(self)
        return dataclasses.replace(dataset, X_test=dataset.X_test[::-1].copy(), y_test=dataset.y_test[::-1].copy())

    monkeypatch.setattr(Digits, "load", backwards)
    (second,) = run(job(*overrides), tmp_path / "second")
    assert abs(first.test_accuracy - second.test_accuracy) < 0.05  # old points beside new labels would be a tenth right


def test_an_autoencoder_of_straight_layers_finds_the_principal_plane():
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(600, 2)) @ rng.normal(size=(2, 12))).astype(np.float32)
    linear = Autoencoder(n_components=2, hidden_layer_sizes=[], noise=0.0, max_epochs=60, learning_rate=0.02)
    found, _ = fit_transform(linear, points, points[:5], seed=0)
    plane, _ = fit_transform(PCA(2), points, points[:5], seed=0)
    inputs = np.column_stack([found, np.ones(len(found))])
    _, left, *_ = np.linalg.lstsq(inputs, plane, rcond=None)  # one is a linear map of the other
    assert (left / plane.var(axis=0) / len(plane) < 0.02).all()


def test_a_chain_is_gone_through_in_order_and_what_is_costly_is_kept(job, tmp_path):
    overrides = ("represent=[pca,autoencoder]", "represent.pca.n_components=9", *QUICK)
    overrides += ("cluster=gaussian_mixture", "classifier=[logistic]", f"cache={tmp_path / 'cache'}")
    stages, accuracies = [], []
    for name in ("first", "second"):
        accuracies.append([result.test_accuracy for result in run(job(*overrides), tmp_path / name)])
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        stages.append({stage["name"]: stage for stage in manifest["stages"]})
        assert {"represent/pca", "represent/autoencoder"} <= set(manifest["seeds"])
    first, second = stages
    assert [name for name in first if name.startswith("represent")] == ["represent pca", "represent autoencoder"]
    assert (first["represent pca"]["note"], first["represent autoencoder"]["note"]) == ("9 features", "8 features")
    assert [stage["represent autoencoder"]["cached"] for stage in stages] == [False, True]
    assert not second["represent pca"]["cached"]
    assert accuracies[0] == accuracies[1]


def test_classifiers_may_see_pixels_however_the_rest_sees_the_points(job, tmp_path):
    few = ("baselines=none", "propagate=[none]", "classifier=[logistic]", "select=random", "cluster=none")
    (with_pca,) = run(job(*few, "represent=[pca]", "represent.pca.n_components=3", "features=pixels"), tmp_path / "a")
    (with_pixels,) = run(job(*few), tmp_path / "b")
    assert with_pca.test_accuracy == with_pixels.test_accuracy
    (without,) = run(job(*few, "represent=[pca]", "represent.pca.n_components=3"), tmp_path / "c")
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
        (Deskew(image_shape=[7, 9]), 20, "expected the pixels of images as features, found 64 features, not 7 x 9"),
        (HOG(image_shape=[7, 9]), 20, "expected the pixels of images as features, found 64 features, not 7 x 9"),
    ],
)
def test_what_cannot_be_is_said(step, n, message):
    with pytest.raises(ConfigError, match=message):
        fit_transform(step, TRAIN[:n], TEST[:3], seed=0)
