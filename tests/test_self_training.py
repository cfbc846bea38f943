"""A perceptron that learns from its own soft labels."""

import numpy as np
import pytest
import torch

import gpussl
from gpussl.classifier import self_training
from gpussl.classifier.mlp import MLPClassifier
from gpussl.classifier.self_training import SelfTrainingMLPClassifier
from gpussl.nets.tensors import forward
from gpussl.runtime import store
from gpussl.tasks.run import run
from tests.digits import DIGITS, TEST, TRAIN, some_labels

SMALL = {"hidden_layer_sizes": [64], "max_epochs": 8, "learning_rate": 0.01, "min_held_out": 0}


@pytest.mark.parametrize("settings", [{"threshold": 1.0}, {"n_rounds": 2}])
def test_without_soft_labels_it_is_the_mlp(settings):
    """None is sure enough, or there are no points without a label."""
    labels = some_labels(200) if "threshold" in settings else DIGITS.y_train
    known = labels >= 0
    mlp = MLPClassifier(**SMALL, scale="none").fit(TRAIN[known], labels[known])
    model = SelfTrainingMLPClassifier(**SMALL, **settings, scale="none").fit(TRAIN, labels)
    np.testing.assert_array_equal(model.predict(TEST), mlp.predict(TEST))
    kept = ("n_iter_", "best_epoch_", "validation_score_")
    assert [getattr(model, name) for name in kept] == [getattr(mlp, name) for name in kept]


@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_a_student_sees_all_labels_and_the_soft_ones_that_the_teacher_is_sure_of(monkeypatch, threshold):
    labels, seen, said = some_labels(100), [], []
    epochs = MLPClassifier.epochs

    def watched(self, features, targets, train, label_weights):
        seen.append((targets.clone(), train, label_weights))
        return epochs(self, features, targets, train, label_weights)

    def teach(network, features):
        said.append(forward(network, features))
        return said[-1]

    monkeypatch.setattr(MLPClassifier, "epochs", watched)
    monkeypatch.setattr(self_training, "forward", teach)
    weights = np.where(labels < 0, 0, np.arange(len(labels)) % 2 + 1).astype(np.float32)
    settings = {**SMALL, "max_epochs": 2, "threshold": threshold}
    SelfTrainingMLPClassifier(**settings).fit(TRAIN, labels, weights)
    (hard, learnt_first, _), (soft, learnt, counts) = seen
    known, joined = np.flatnonzero(labels >= 0), learnt[100:].numpy()
    assert set(learnt_first.tolist()) < set(known.tolist()) == set(learnt[:100].tolist())
    assert hard.tolist() == labels.tolist()
    assert (soft[known] == torch.eye(10)[labels[known]]).all()
    (taught,) = (scores.softmax(dim=1) for scores in said)
    assert torch.equal(soft[joined], taught[joined])
    assert joined.tolist() == np.flatnonzero((labels < 0) & (taught.amax(dim=1).numpy() >= threshold)).tolist()
    assert 0 < len(joined) < 1197 or threshold == 0
    assert (counts[joined] == 1).all()  # the mean of the labels' own
    assert counts[known].mean() == pytest.approx(1)


def test_students_learn_for_all_epochs_and_that_is_told():
    told = []
    model = SelfTrainingMLPClassifier(**SMALL, n_rounds=2).fit(
        TRAIN, some_labels(100), on_progress=lambda done, total, note: told.append((done, total, note))
    )
    assert {total for _, total, _ in told} == {24}
    assert [done for done, _, _ in told][-16:] == list(range(9, 25))
    assert [note for _, _, note in told][-16:] == ["student 1"] * 8 + ["student 2"] * 8
    assert all(note.startswith("teacher held-out accuracy") for _, _, note in told[:-16])
    assert model.n_iter_ == len(told)


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
    (result, *_) = run(made, tmp_path / "run")
    assert (result.classifier, result.n_train) == ("self_training", 100)
