"""A perceptron that learns from its own soft labels."""

import numpy as np
import pytest
import torch

import gpussl
from gpussl import pipeline, store
from gpussl.data import Digits
from gpussl.models.mlp import MLPClassifier
from gpussl.models.self_training import SelfTrainingMLPClassifier
from gpussl.represent import scale

DIGITS = Digits().load()
TRAIN, TEST = scale(DIGITS.X_train, DIGITS.X_test, DIGITS.max_value)
SMALL = {"hidden_layer_sizes": [64], "max_epochs": 8, "learning_rate": 0.01}


def some_labels(n, seed=0):
    """(1297,): the labels of n training images drawn at random, and -1 for the others."""
    drawn = np.random.default_rng(seed).choice(len(TRAIN), n, replace=False)
    labels = np.full(len(TRAIN), -1)
    labels[drawn] = DIGITS.y_train[drawn]
    return labels


def accuracy(model):
    return np.mean(model.predict(TEST) == DIGITS.y_test)


@pytest.mark.parametrize("settings", [{"threshold": 1.0}, {"n_rounds": 1}])
def test_without_soft_labels_it_is_the_mlp(settings):
    """None is sure enough, or there are no points without a label."""
    labels = some_labels(200) if "threshold" in settings else DIGITS.y_train
    known = labels >= 0
    mlp = MLPClassifier(**SMALL).fit(TRAIN[known], labels[known])
    model = SelfTrainingMLPClassifier(**SMALL, **settings).fit(TRAIN, labels)
    np.testing.assert_array_equal(model.predict(TEST), mlp.predict(TEST))
    assert (model.n_iter_, model.best_epoch_, model.validation_score_) == (
        mlp.n_iter_,
        mlp.best_epoch_,
        mlp.validation_score_,
    )


def test_a_student_sees_soft_labels_of_sure_points_and_never_what_is_held_out(monkeypatch):
    """The teacher's probabilities, as they come from its own network, where the likeliest is likely enough."""
    labels, seen = some_labels(100), []
    epochs = MLPClassifier.epochs

    def watched(self, features, targets, train, label_weights):
        seen.append((targets.clone(), train.clone()))
        for network in epochs(self, features, targets, train, label_weights):
            self.teacher = network
            yield network

    monkeypatch.setattr(MLPClassifier, "epochs", watched)
    model = SelfTrainingMLPClassifier(**{**SMALL, "max_epochs": 1}, threshold=0.3, n_rounds=1).fit(TRAIN, labels)
    (first, teachers), (second, students) = seen
    assert len(teachers) == 90
    assert (labels[teachers] >= 0).all()
    assert torch.equal(first.argmax(dim=1)[teachers], torch.as_tensor(labels[teachers]))
    joined = students[90:]
    assert 0 < len(joined) < 1197
    assert (labels[joined] == -1).all()
    assert torch.equal(students[:90], teachers)
    assert torch.equal(second[teachers], first[teachers])
    assert torch.allclose(second[joined].sum(dim=1), torch.ones(len(joined)), atol=1e-5)
    others = np.setdiff1d(np.flatnonzero(labels == -1), joined.numpy())
    assert second[joined].amax(dim=1).min() >= 0.3 > second[others].amax(dim=1).max()
    assert model.best_epoch_ == 1


def test_what_did_best_on_the_held_out_labels_is_kept():
    scores = []
    model = SelfTrainingMLPClassifier(**SMALL, threshold=0.2, n_rounds=3).fit(
        TRAIN, some_labels(100), on_progress=lambda done, total, note: scores.append((done, total, note))
    )
    best = max(float(note.split()[-1].rstrip("%")) for _, _, note in scores)
    assert 100 * model.validation_score_ == pytest.approx(best, abs=0.051)
    assert {total for _, total, _ in scores} == {32}
    assert {note.split(",")[0] for _, _, note in scores} == {f"network {number}" for number in (1, 2, 3, 4)}
    assert [done for done, _, _ in scores] == sorted({done for done, _, _ in scores})


def test_weights_of_labels_count_and_soft_labels_count_in_full():
    labels, weights = some_labels(200), np.ones(len(TRAIN), dtype=np.float32)
    spoilt = labels.copy()
    spoilt[:300], weights[:300] = 3, 0
    labels[:300] = -1
    expected, found = (SelfTrainingMLPClassifier(**SMALL, threshold=0.5) for _ in range(2))
    expected.fit(TRAIN, labels)
    found.fit(TRAIN, spoilt, None, weights)
    np.testing.assert_array_equal(found.predict(TEST), expected.predict(TEST))
    weights[300:800] = 0.5
    assert accuracy(found.fit(TRAIN, spoilt, None, weights)) > 0.7


def test_a_file_keeps_it_and_a_run_makes_it(job, tmp_path):
    labels = some_labels(100)
    model = SelfTrainingMLPClassifier(**SMALL).fit(TRAIN, labels)
    store.save(tmp_path / "model.safetensors", model)
    loaded = gpussl.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict(TEST), model.predict(TEST))
    assert loaded.get_params() == model.get_params()
    made = job(
        "select=random", "propagate=[none]", "classifier=[self_training]", "classifier.self_training.max_epochs=3"
    )
    (result, *_) = pipeline.run(made, tmp_path / "run")
    assert (result.classifier, result.n_train) == ("self_training", 100)
