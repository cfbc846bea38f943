import numpy as np
import pytest
import sklearn.linear_model
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs

from gpussl.models.logistic import LogisticRegression
from gpussl.models.mlp import ByteDropout, MLPClassifier, _split

DIGITS, NAMES = load_digits(return_X_y=True)
DIGITS = (DIGITS / 16).astype(np.float32)
SMALL = {"hidden_layer_sizes": [64] * 6, "max_epochs": 8}


@pytest.mark.parametrize("power", [1.0, 0.5])
@pytest.mark.parametrize("classes", [range(10), [3, 8]])
def test_logistic_regression_predicts_as_scikit_learns(classes, power):
    of_these = np.isin(NAMES, list(classes))
    X, y = DIGITS[of_these], NAMES[of_these]
    ours = LogisticRegression(C=0.2, power=power).fit(X - 0.5, y)
    features = np.sign(X - 0.5) * np.abs(X - 0.5) ** power
    theirs = sklearn.linear_model.LogisticRegression(C=0.2, max_iter=100, tol=1e-3).fit(features, y)
    np.testing.assert_array_equal(ours.predict(X - 0.5), theirs.predict(features))
    np.testing.assert_allclose(
        ours.decision_function(X - 0.5), theirs.decision_function(features), rtol=1e-3, atol=1e-4
    )


def test_the_mlp_has_seven_layers():
    model = MLPClassifier(max_epochs=1, min_epoch_steps=1).fit(DIGITS[:50], NAMES[:50])
    assert sum(isinstance(layer, torch.nn.Linear) for layer in model.network_) == 7


def test_the_mlp_learns_the_digits():
    model = MLPClassifier(**SMALL).fit(DIGITS[:1300], NAMES[:1300])
    assert np.mean(model.predict(DIGITS[1300:]) == NAMES[1300:]) > 0.9


def test_the_mlp_keeps_the_epoch_that_did_best():
    scores = []
    model = MLPClassifier(**SMALL, validation_fraction=0.3, patience=2).fit(
        DIGITS[:300], np.roll(NAMES[:300], 1), on_progress=lambda epoch, n, note: scores.append(note)
    )
    best = max(float(note.split()[-1].rstrip("%")) for note in scores)
    assert scores[model.best_epoch_ - 1].endswith(f"{best:.1f}%")
    assert model.n_iter_ == len(scores) <= model.best_epoch_ + 2
    assert 100 * model.validation_score_ == pytest.approx(best, abs=0.06)


def test_the_mlp_takes_any_class_numbers():
    X, y = make_blobs(60, centers=2, random_state=0)
    y = np.where(y == 0, 4, 9)
    model = MLPClassifier(hidden_layer_sizes=[8], max_epochs=5).fit(X.astype(np.float32), y)
    assert set(model.predict(X.astype(np.float32)).tolist()) == {4, 9}


@pytest.mark.parametrize("n", [2, 3, 5, 257])
def test_the_mlp_fits_whatever_is_left_of_a_batch(n):
    y = np.arange(n) % 2
    model = MLPClassifier(hidden_layer_sizes=[4], max_epochs=1, min_epoch_steps=1).fit(DIGITS[:n], y)
    assert model.predict(DIGITS[:n]).shape == (n,)


def test_the_mlps_numbers_come_from_its_seed_alone():
    def weights(seed):
        model = MLPClassifier(hidden_layer_sizes=[8], max_epochs=2, random_state=seed).fit(DIGITS[:100], NAMES[:100])
        return b"".join(w.numpy().tobytes() for w in model.network_.state_dict().values())

    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = weights(5)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert weights(5) == first != weights(6)


def test_copies_of_one_label_are_never_on_both_sides_of_the_split():
    groups = np.repeat(np.arange(30), 7)
    train, held_out = _split(groups, 0.1, np.random.default_rng(0))
    assert len(set(groups[held_out])) == 3
    assert not set(groups[train]) & set(groups[held_out])
    assert sorted([*train, *held_out]) == list(range(210))


@pytest.mark.parametrize("model", [LogisticRegression(C=3.0), MLPClassifier(dropout=0.5)])
def test_models_clone_as_scikit_learns_do(model):
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize("p", [0.25, 0.5, 0.999])
def test_dropout_drops_its_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    layer, x = ByteDropout(p), torch.ones(2000, 257)
    dropped = (layer(x) == 0).float()
    share = min(round(256 * p), 255) / 256
    assert float(dropped.mean()) == pytest.approx(share, abs=0.005)
    flat = dropped.flatten()
    for byte in range(8):  # of the eight units that share a random number, each alike
        assert float(flat[byte::8].mean()) == pytest.approx(share, abs=0.01)
    neighbours = np.corrcoef(flat[:-1].numpy(), flat[1:].numpy())[0, 1]
    assert abs(neighbours) < 0.01
    if p < 0.9:
        assert float(layer(x).mean()) == pytest.approx(1, abs=0.01)


def test_dropout_passes_gradients_where_it_passes_values():
    x = torch.ones(50, 8, requires_grad=True)
    y = ByteDropout(0.5)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    assert torch.equal(ByteDropout(0.5).eval()(x), x)


@pytest.mark.parametrize("change", [lambda X: X.astype(np.float64), np.asfortranarray, "read-only"])
def test_the_mlp_predicts_for_any_floats(change):
    model = MLPClassifier(hidden_layer_sizes=[8], max_epochs=1).fit(DIGITS[:100], NAMES[:100])
    X = DIGITS[:100].copy()
    expected = model.predict(X)
    if change == "read-only":
        X.flags.writeable = False
    else:
        X = change(X)
    np.testing.assert_array_equal(model.predict(X), expected)


@pytest.mark.parametrize(("n_groups", "fraction"), [(3, 0.5), (3, 0.9), (4, 0.9), (100, 0.99)])
def test_two_groups_at_least_are_left_to_learn_from(n_groups, fraction):
    train, held_out = _split(np.arange(n_groups), fraction, np.random.default_rng(0))
    assert len(train) >= 2
    assert len(held_out) >= 1


def test_another_number_of_features_is_refused():
    model = MLPClassifier(hidden_layer_sizes=[8], max_epochs=1).fit(DIGITS[:100], NAMES[:100])
    with pytest.raises(ValueError, match=r"X: expected shape \(n, 64\), found \(100, 10\)"):
        model.predict(DIGITS[:100, :10])
