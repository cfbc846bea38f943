"""Classifiers where labels are few, on data of any shape and scale."""

import warnings

import numpy as np
import pytest
import sklearn.ensemble
import sklearn.linear_model
import sklearn.neighbors
import xgboost
from sklearn.metrics import balanced_accuracy_score

from gpussl.classifier.auto import AutoClassifier
from gpussl.classifier.extra_trees import ExtraTreesClassifier
from gpussl.classifier.holdout import stratified_folds
from gpussl.classifier.kernel_logistic import KernelLogisticRegression
from gpussl.classifier.knn import KNeighborsClassifier
from gpussl.classifier.logistic import LogisticRegression
from gpussl.classifier.mlp import MLPClassifier
from gpussl.classifier.xgboost import XGBClassifier
from gpussl.evaluate.accuracy import most_frequent, score
from gpussl.numeric.intervals import paired_difference
from gpussl.numeric.scaling import fit_scaling
from gpussl.records import Dataset
from tests.digits import DIGITS, TEST, TRAIN


def gaussians(n, n_features, n_classes, shares, seed, *, apart=3.0):
    """Points (n, d) around one centre for each class, and their classes."""
    rng = np.random.default_rng(seed)
    y = rng.choice(n_classes, n, p=shares)
    y[:n_classes] = np.arange(n_classes)  # each class has a point
    centres = rng.normal(size=(n_classes, n_features)) * apart / n_features**0.5
    return (centres[y] + rng.normal(size=(n, n_features)) / n_features**0.25).astype(np.float32), y


def blobs(n_common, n_rare, seed):
    """Two blobs, twelve standard deviations apart along the first of 16 features."""
    rng = np.random.default_rng(seed)
    y = np.r_[np.zeros(n_common, dtype=int), np.ones(n_rare, dtype=int)]
    X = rng.normal(size=(len(y), 16)).astype(np.float32)
    X[:, 0] += 12 * y
    return X, y


@pytest.mark.parametrize(
    ("make", "n_common", "n_rare"),
    [
        *((make, 9, 1) for make in (LogisticRegression, MLPClassifier, KNeighborsClassifier, AutoClassifier)),
        *((make, 45, 5) for make in (ExtraTreesClassifier, KernelLogisticRegression)),
    ],
)
def test_few_labels_nine_to_one_of_separable_points_are_enough(make, n_common, n_rare):
    X, y = blobs(200, 200, seed=1)
    assert np.mean(make().fit(*blobs(n_common, n_rare, seed=0)).predict(X) == y) > 0.95


@pytest.mark.parametrize(
    ("n_labels", "n_features", "n_classes"),
    [(5, 2, 2), (10, 2000, 2), (26, 16, 26), (50, 64, 10), (200, 2000, 2), (500, 16, 26), (60_000, 8, 3)],
)
@pytest.mark.parametrize("is_balanced", [True, False])
def test_the_rule_for_the_penalty_suits_any_number_of_labels_features_and_classes(
    n_labels, n_features, n_classes, is_balanced
):
    shares = np.full(n_classes, 1 / n_classes)
    if not is_balanced:
        shares = np.r_[0.9, np.full(n_classes - 1, 0.1 / (n_classes - 1))]
    gaps = []
    for seed in range(1 if n_labels > 1000 else 5):
        X, y = gaussians(n_labels + 1000, n_features, n_classes, shares, seed)
        train, test = slice(0, n_labels), slice(n_labels, None)
        theirs = sklearn.linear_model.LogisticRegression(max_iter=1000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of as many classes as labels
            theirs.fit(X[train], y[train])
        ours = LogisticRegression().fit(X[train], y[train])
        gaps.append(np.mean(ours.predict(X[test]) == y[test]) - np.mean(theirs.predict(X[test]) == y[test]))
    assert np.mean(gaps) > -0.01


@pytest.mark.parametrize("make", [LogisticRegression, KNeighborsClassifier, KernelLogisticRegression])
def test_the_unit_of_the_features_does_not_matter(make):
    labelled = slice(0, 60)
    expected = make().fit(TRAIN[labelled], DIGITS.y_train[labelled]).predict(TEST)
    changed = make().fit(TRAIN[labelled] * 1000 + 7000, DIGITS.y_train[labelled]).predict(TEST * 1000 + 7000)
    assert np.mean(changed == expected) > 0.99


@pytest.mark.parametrize("make", [LogisticRegression, KNeighborsClassifier, KernelLogisticRegression, MLPClassifier])
def test_features_in_different_units_count_alike(make):
    """The second feature decides; the first has a range a thousand times as large, and a constant one says nothing."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = np.stack([5000 + 1000 * rng.normal(size=60), y + 0.1 * rng.normal(size=60), np.ones(60)], axis=1)
    model = make().fit(X[:30], y[:30])
    assert np.mean(model.predict(X[30:]) == y[30:]) == 1
    X[30:, 2] = 40_000
    assert np.mean(model.predict(X[30:]) == y[30:]) == 1


def test_a_scaling_counts_weights_as_copies():
    rng = np.random.default_rng(0)
    X, times = rng.normal(size=(50, 4)), rng.integers(0, 4, 50)
    for one, other in zip(fit_scaling(X, times), fit_scaling(np.repeat(X, times, axis=0)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_scaled_points_have_features_of_mean_variance_one_and_keep_their_shape():
    X = np.random.default_rng(0).normal(size=(200, 5)) * np.array([1, 2, 3, 1, 0])
    mean, divisor = fit_scaling(X)
    assert np.var(X / divisor, axis=0).mean() == pytest.approx(1)
    assert len(set(divisor.tolist())) == 1
    np.testing.assert_allclose(mean, X.mean(axis=0))


def test_folds_keep_groups_together_and_spread_each_class():
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(40), 3))
    y = groups % 4
    folds = stratified_folds(y, groups, 5, rng)
    assert all(len(set(folds[groups == group])) == 1 for group in range(40))
    for number in range(4):
        assert np.bincount(folds[y == number]).tolist() == [6] * 5


class TestNeighbors:
    def test_votes_are_scikit_learns(self):
        known = TRAIN[:200], DIGITS.y_train[:200]
        for weights in ("uniform", "distance"):
            ours = KNeighborsClassifier(5, weights, "none").fit(*known).predict_proba(TEST)
            theirs = sklearn.neighbors.KNeighborsClassifier(5, weights=weights).fit(*known).predict_proba(TEST)
            np.testing.assert_allclose(ours, theirs, atol=1e-4)
        at_points = KNeighborsClassifier(5, scale="none").fit(*known).predict_proba(TRAIN[:200])
        assert (at_points.max(axis=1) == 1).all()

    def test_noisy_labels_need_more_neighbours_than_clean_ones(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(300, 2))
        X[:, 0] += np.sign(X[:, 0])
        clean = (X[:, 0] > 0).astype(int)
        noisy = np.where(rng.random(300) < 0.3, 1 - clean, clean)
        chosen = [KNeighborsClassifier().fit(X, y).n_neighbors_ for y in (clean, noisy)]
        assert chosen[0] == 1 < chosen[1]

    def test_copies_of_a_label_are_no_neighbours_of_it_when_k_is_chosen(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(400, 2))
        noisy = np.where(rng.random(400) < 0.3, X[:, 0] > 0, X[:, 0] < 0).astype(int)
        copies = {"X": np.repeat(X, 2, axis=0), "y": np.repeat(noisy, 2)}
        assert KNeighborsClassifier().fit(**copies).n_neighbors_ == 1  # each finds itself
        assert KNeighborsClassifier().fit(**copies, groups=np.repeat(np.arange(400), 2)).n_neighbors_ > 1


class TestTrees:
    def test_probabilities_are_scikit_learns(self):
        known = TRAIN[:200], DIGITS.y_train[:200]
        ours = ExtraTreesClassifier(20, random_state=3).fit(*known).predict_proba(TEST)
        theirs = sklearn.ensemble.ExtraTreesClassifier(20, random_state=3).fit(*known).predict_proba(TEST)
        np.testing.assert_allclose(ours, theirs, atol=1e-6)

    @pytest.mark.parametrize("n_labels", [20, 100])
    def test_boosted_trees_learn_from_few_labels(self, n_labels):
        model = XGBClassifier().fit(TRAIN[:n_labels], DIGITS.y_train[:n_labels])
        as_it_comes = xgboost.XGBClassifier().fit(TRAIN[:n_labels], DIGITS.y_train[:n_labels])
        ours, theirs = (np.mean(fitted.predict(TEST) == DIGITS.y_test) for fitted in (model, as_it_comes))
        assert ours > theirs + 0.02
        assert (model.n_iter_, model.validation_score_) == (model.few_rounds, None)


class TestKernel:
    def test_all_points_as_landmarks_are_scikit_learns_on_the_kernel(self):
        X, y = TRAIN[:80].astype(np.float64), DIGITS.y_train[:80]
        settings = {"C": 10.0, "max_iter": 3000, "tol": 1e-7}
        ours = KernelLogisticRegression(gamma=0.05, scale="none", **settings).fit(X, y)

        def kernel(one):
            return np.exp(-0.05 * ((one[:, None, :] - X[None]) ** 2).sum(axis=2))

        values, vectors = np.linalg.eigh(kernel(X))
        features = vectors / np.sqrt(values)
        theirs = sklearn.linear_model.LogisticRegression(**settings).fit(kernel(X) @ features, y)
        expected = theirs.predict_proba(kernel(TEST.astype(np.float64)) @ features)
        np.testing.assert_allclose(ours.predict_proba(TEST.astype(np.float64)), expected, atol=1e-3)

    def test_fewer_landmarks_are_nearly_as_good(self):
        known = TRAIN[:500], DIGITS.y_train[:500]
        scores = [
            np.mean(KernelLogisticRegression(n_landmarks=n).fit(*known).predict(TEST) == DIGITS.y_test)
            for n in (500, 200)
        ]
        assert scores[1] > scores[0] - 0.03


class TestNetwork:
    def test_few_labels_are_all_learnt_from_for_a_fixed_number_of_epochs(self):
        told = []
        model = MLPClassifier(hidden_layer_sizes=[16, 8, 8], min_epoch_steps=2)
        model.fit(TRAIN[:40], DIGITS.y_train[:40], on_progress=lambda done, total, note: told.append((done, total)))
        assert told == [(epoch, 8) for epoch in range(1, 9)]
        assert (model.n_iter_, model.best_epoch_, model.validation_score_, model.n_hidden_) == (8, 8, None, 2)
        again = MLPClassifier.unpack(*model.pack())
        np.testing.assert_array_equal(again.predict(TEST), model.predict(TEST))

    def test_a_hold_out_needs_a_hundred_labels(self):
        settings = {"hidden_layer_sizes": [16, 8, 8], "min_epoch_steps": 1, "max_epochs": 2}
        for n, has_score in ((999, False), (1000, True)):
            model = MLPClassifier(**settings).fit(TRAIN[:n], DIGITS.y_train[:n])
            assert (model.validation_score_ is not None) is has_score
        copies = MLPClassifier(**settings).fit(TRAIN[:500], DIGITS.y_train[:500], groups=np.arange(500) // 2)
        assert copies.validation_score_ is None  # 250 labels

    def test_fifty_digits_are_learnt_well_from_any_start(self):
        bought = np.random.default_rng(1).permutation(len(TRAIN))[:50]
        found = [
            np.mean(
                MLPClassifier(random_state=seed).fit(TRAIN[bought], DIGITS.y_train[bought]).predict(TEST)
                == DIGITS.y_test
            )
            for seed in range(3)
        ]
        assert np.mean(found) > 0.75
        assert np.std(found) < 0.05


class TestAuto:
    def test_the_comparison_is_kept_and_what_is_used_is_within_a_standard_error(self):
        model = AutoClassifier().fit(TRAIN[:100], DIGITS.y_train[:100])
        rows = {row["name"]: row for row in model.compared_}
        assert set(rows) == {"logistic", "extra_trees", "knn", "kernel_logistic", "xgboost", "logistic_of_roots"}
        lowest = min(row["log_loss"] for row in rows.values())
        for row in rows.values():
            assert row["is_used"] == (row["log_loss"] <= lowest + row["standard_error"] + 1e-12)
        assert len(model.members_) == sum(row["is_used"] for row in rows.values())
        assert np.mean(model.predict(TEST) == DIGITS.y_test) > 0.8

    def test_a_file_keeps_it(self):
        model = AutoClassifier().fit(TRAIN[:60], np.array([f"digit {n}" for n in DIGITS.y_train[:60]]))
        again = AutoClassifier.unpack(*model.pack())
        np.testing.assert_allclose(again.predict_proba(TEST), model.predict_proba(TEST), atol=1e-6)
        assert again.compared_ == model.compared_

    def test_copies_of_a_label_say_nothing_about_it(self):
        """Each label has ten copies. A candidate that learns by heart would be right about every one of them."""
        rng = np.random.default_rng(0)
        X, y = np.repeat(rng.normal(size=(60, 5)), 10, axis=0), np.repeat(rng.integers(0, 2, 60), 10)
        model = AutoClassifier().fit(X, y, groups=np.repeat(np.arange(60), 10))
        assert all(row["accuracy"] < 0.75 for row in model.compared_)
        assert model.predict_proba(X[:1]).max() < 0.9  # and it knows that it does not know

    @pytest.mark.parametrize("y", [[0, 0, 0, 1], [0, 1], list(range(26))])
    def test_classes_of_one_label_are_no_obstacle(self, y):
        X = 10.0 * np.eye(len(y), dtype=np.float32)
        assert AutoClassifier().fit(X, y).predict_proba(X).shape == (len(y), len(set(y)))

    def test_with_many_labels_a_network_is_compared_too(self):
        assert "mlp" in AutoClassifier().candidates(TRAIN, 1000)
        assert list(AutoClassifier().candidates(-TRAIN, 19)) == ["logistic", "extra_trees"]


def test_balanced_accuracy_is_scikit_learns():
    rng = np.random.default_rng(0)
    y, said = rng.choice(3, 200, p=[0.8, 0.15, 0.05]), rng.integers(0, 3, 200)
    dataset = Dataset("d", np.zeros((1, 1)), None, np.zeros((200, 1)), y, ("a", "b", "c"))
    found = score(dataset, said, most_frequent(dataset))
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(y, said))
    assert (found.test_accuracy, found.only_class) == (np.mean(y == said), None)
    assert score(dataset, np.full(200, 2), found).only_class == "c"


def test_nineteen_of_twenty_intervals_of_a_difference_hold_it():
    rng, held = np.random.default_rng(0), 0
    for _ in range(1000):
        both = rng.random(80)
        one, other = both < 0.75, (both < 0.6) | (rng.random(80) < 0.1)
        truth = 0.75 - (0.6 + 0.4 * 0.1)
        _, low, high = paired_difference(one, other)
        held += low <= truth <= high
    assert 930 <= held <= 975
