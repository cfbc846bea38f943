"""The convolutional network that learns from labels and from what has none."""

import numpy as np
import pytest
import torch

import gpussl
from gpussl.classifier.convnet import ConvNetClassifier, _Thresholds
from gpussl.errors import ConfigError
from gpussl.runtime import store
from tests.digits import DIGITS, TEST, TRAIN, accuracy, some_labels

SMALL = {"channels": [16, 32], "batch_size": 32, "averaging": 0.98}


@pytest.fixture(scope="module")
def fitted():
    return ConvNetClassifier(n_steps=400, **SMALL).fit(TRAIN, some_labels(40))


def test_images_without_labels_are_worth_something(fitted):
    alone = ConvNetClassifier(n_steps=400, unlabelled_ratio=0, **SMALL).fit(TRAIN, some_labels(40))
    assert accuracy(fitted) > accuracy(alone) + 0.03
    assert accuracy(fitted) > 0.85


def test_a_seed_makes_it_and_a_file_keeps_it(fitted, tmp_path):
    again = ConvNetClassifier(n_steps=400, **SMALL).fit(TRAIN, some_labels(40))
    store.save(tmp_path / "model.safetensors", fitted)
    loaded = gpussl.load(tmp_path / "model.safetensors")
    for other in (again, loaded):
        np.testing.assert_array_equal(other.predict(TEST), fitted.predict(TEST))
    assert loaded.get_params() == fitted.get_params()
    assert fitted.classes_.tolist() == list(range(10))


def test_wrong_propagated_labels_are_outweighed_by_bought_ones():
    """Half of the labels are propagated ones, of which a third are wrong: the bought ones decide."""
    rng = np.random.default_rng(0)
    labels = some_labels(100)
    bought = labels >= 0
    propagated = ~bought & (rng.random(len(labels)) < 0.5)
    labels[propagated] = np.where(rng.random(propagated.sum()) < 1 / 3, rng.integers(0, 10), DIGITS.y_train[propagated])
    own = np.arange(len(labels))
    groups = np.where(bought, own, np.where(propagated, own[bought][0], -1))
    settings = {"n_steps": 150, **SMALL}
    trusting, wary = (
        ConvNetClassifier(propagated_halved_at=n, **settings).fit(TRAIN, labels, groups=groups) for n in (10_000, 10)
    )
    assert accuracy(wary) > accuracy(trusting)


@pytest.mark.parametrize(("halved_at", "size"), [(0, None), (1, None), (100, 16), (1000, 29)])
def test_propagated_labels_count_for_less_the_more_are_bought(halved_at, size):
    """Beside 32 images of a hundred bought labels, 32 p / (p + 100)."""
    labels = torch.arange(300) % 10
    groups = np.where(np.arange(300) < 100, np.arange(300), 0)
    model = ConvNetClassifier(batch_size=32, unlabelled_ratio=2, propagated_halved_at=halved_at)
    bought, *others, everything = model._streams(labels, groups)
    assert len(next(bought)) == 32
    assert next(bought).max() < 100
    assert len(next(everything)) == 64
    assert [len(next(propagated)) for propagated in others] == ([] if size is None else [size])
    for propagated in others:
        assert next(propagated).min() >= 100


def test_labels_of_weight_nought_are_none():
    labels, weights = some_labels(60), np.ones(len(TRAIN), dtype=np.float32)
    spoilt = labels.copy()
    spoilt[:200], weights[:200] = 3, 0
    labels[:200] = -1
    settings = {"n_steps": 5, **SMALL}
    expected = ConvNetClassifier(**settings).fit(TRAIN, labels).predict(TEST)
    np.testing.assert_array_equal(ConvNetClassifier(**settings).fit(TRAIN, spoilt, weights).predict(TEST), expected)


def test_progress_is_told_and_fewer_labels_than_a_batch_will_do():
    told = []
    labels = some_labels(3)
    model = ConvNetClassifier(n_steps=30, **SMALL)
    model.fit(TRAIN, labels, on_progress=lambda *given: told.append(given))
    assert [(done, total) for done, total, _ in told] == [(25, 30), (30, 30)]
    assert set(model.predict(TEST)) <= set(labels[labels >= 0])


def test_a_class_that_is_seen_less_of_may_be_less_sure():
    thresholds = _Thresholds(2)
    batch = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]])  # 0.75 sure at the mean; 0.7 and 0.3 seen
    for _ in range(2000):
        seen, is_sure = thresholds.decide(batch)
    assert seen.tolist() == [0, 0, 0, 1]
    assert is_sure.tolist() == [True, True, False, True]  # 0.75 is asked of the first, 0.75 * 0.3 / 0.7 of the second
    assert float(thresholds.sureness) == pytest.approx(0.75, abs=1e-4)
    assert thresholds.shares.tolist() == pytest.approx([0.7, 0.3], abs=1e-4)
    thresholds.decide(torch.tensor([[1.0, 0.0]]))
    assert float(thresholds.sureness) == pytest.approx(0.75 + 0.01 * 0.25, abs=1e-4)


def test_steps_without_one_sure_image_do_no_harm():
    model = ConvNetClassifier(channels=[4], hidden=4, n_steps=60, batch_size=2, unlabelled_ratio=1, random_state=0)
    assert set(model.fit(TRAIN[:12], np.r_[DIGITS.y_train[:3], [-1] * 9]).predict(TEST)) <= set(DIGITS.y_train[:3])


def test_features_that_are_no_image_are_refused():
    with pytest.raises(ConfigError, match="found 63 features, not a square number"):
        ConvNetClassifier(n_steps=1).fit(TRAIN[:, :63], some_labels(20))
    assert ConvNetClassifier(n_steps=1, image_shape=[9, 7]).fit(TRAIN[:, :63], some_labels(20)).n_features_in_ == 63


def test_on_a_gpu_batches_have_few_sizes_and_what_is_not_sure_counts_nothing(monkeypatch):
    seen, cross_entropy = [], torch.nn.functional.cross_entropy

    def spied(outputs, targets, reduction):
        losses = cross_entropy(outputs, targets, reduction=reduction)
        losses.register_hook(lambda slopes: seen.append((len(targets) - 32, int((slopes != 0).sum()) - 32)))
        return losses

    monkeypatch.setattr("gpussl.classifier.convnet.batch_multiple", lambda device: 32)
    monkeypatch.setattr(torch.nn.functional, "cross_entropy", spied)
    ConvNetClassifier(n_steps=40, batch_size=32, unlabelled_ratio=3, channels=[8], hidden=8).fit(TRAIN, some_labels(60))
    assert {changed for changed, _ in seen} <= {0, 32, 64, 96}
    assert all(counting <= changed < counting + 32 for changed, counting in seen)
    assert any(counting < changed for changed, counting in seen)
