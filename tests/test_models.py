import itertools
import tracemalloc

import numpy as np
import pytest
import sklearn.linear_model
import sklearn.neighbors
import torch
import xgboost
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from threadpoolctl import threadpool_limits

from gpussl.backend import cpu, logistic, neighbors
from gpussl.classifier import mlp
from gpussl.classifier.convnet import ConvNetClassifier
from gpussl.classifier.holdout import split_groups
from gpussl.classifier.knn import KNeighborsClassifier
from gpussl.classifier.logistic import LogisticRegression
from gpussl.classifier.mlp import Masks, MLPClassifier, PooledDropout
from gpussl.classifier.self_training import SelfTrainingMLPClassifier
from gpussl.classifier.xgboost import XGBClassifier
from gpussl.errors import ConfigError
from gpussl.records import Watch
from gpussl.studies.study_convnet import StudyConvNet

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


@pytest.mark.parametrize("classes", [range(10), [3, 8]])
def test_logistic_regression_converges_to_scikit_learns(classes):
    of_these = np.isin(NAMES, list(classes))
    X, y = DIGITS[of_these].astype(np.float64), NAMES[of_these]
    ours = cpu.LogisticRegression(C=0.5, max_iter=5000, tol=1e-7).fit(X, y)
    theirs = sklearn.linear_model.LogisticRegression(C=0.5, max_iter=5000, tol=1e-7).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-3)


def test_logistic_regression_is_the_same_in_any_number_of_blocks_and_threads(monkeypatch):
    found = []
    for rows, n_threads in ((100, 1), (100, 3), (10_000, 1)):
        monkeypatch.setattr(logistic, "BLOCK_ROWS", rows)
        monkeypatch.setattr(logistic, "N_PARTS", 4)
        with threadpool_limits(n_threads, user_api="blas"):
            found.append(LogisticRegression(max_iter=30).fit(DIGITS, NAMES).coef_)
    assert found[0].tobytes() == found[1].tobytes()
    np.testing.assert_allclose(found[2], found[0], atol=0.02)


def test_logistic_regression_refuses_what_it_cannot_learn():
    broken = DIGITS.copy()
    broken[3, 3] = np.nan
    with pytest.raises(ValueError, match="X: expected finite numbers, found NaN or infinity"):
        LogisticRegression().fit(broken, NAMES)
    with pytest.raises(ValueError, match=r"y: expected shape \(1797,\), found \(1797, 1\)"):
        LogisticRegression().fit(DIGITS, NAMES[:, None])
    with pytest.raises(ValueError, match="y: expected at least two classes, found 1"):
        LogisticRegression().fit(DIGITS, np.zeros(len(DIGITS)))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_mlp_learns_in_either_precision(precision):
    model = MLPClassifier(**SMALL, precision=precision).fit(DIGITS[:1300], NAMES[:1300])
    assert {weight.dtype for weight in model.network_.parameters()} == {torch.float32}
    assert np.mean(model.predict(DIGITS[1300:]) == NAMES[1300:]) > 0.9


@pytest.mark.parametrize("fast", [True, False])
def test_the_precision_is_by_itself_what_the_device_is_faster_at(fast, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": fast})
    assert MLPClassifier().settled_precision("cpu") == ("bfloat16" if fast else "float32")
    assert MLPClassifier(precision="float32").settled_precision("cpu") == "float32"


def test_the_mlp_has_seven_layers():
    model = MLPClassifier(max_epochs=1, min_epoch_steps=1).fit(DIGITS[:50], NAMES[:50])
    assert sum(isinstance(layer, torch.nn.Linear) for layer in model.network_) == 7


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
    train, held_out = split_groups(groups, 0.1, np.random.default_rng(0))
    assert len(set(groups[held_out])) == 3
    assert not set(groups[train]) & set(groups[held_out])
    assert sorted([*train, *held_out]) == list(range(210))


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(C=3.0),
        MLPClassifier(dropout=0.5),
        KNeighborsClassifier(5),
        XGBClassifier(max_depth=3),
        StudyConvNet(hidden=8),
    ],
)
def test_models_clone_as_scikit_learns_do(model):
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize("p", [0.25, 0.5, 0.999])
def test_dropout_drops_its_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    layer, x = PooledDropout(p, Masks(p)), torch.ones(2000, 257)
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


def test_dropout_takes_another_mask_each_time_and_a_new_pool_now_and_then(monkeypatch):
    monkeypatch.setattr(mlp, "POOL", 4096)
    torch.manual_seed(0)
    masks, x = Masks(0.5), torch.ones(8, 16)
    taken = [masks.window(x).clone() for _ in range(3 * mlp.WINDOWS)]
    alike = [float((a == b).float().mean()) for a, b in itertools.pairwise(taken)]
    assert max(alike) < 0.8
    assert np.mean(alike) == pytest.approx(0.5, abs=0.02)
    pools = {masks._pool.data_ptr()}
    for _ in range(mlp.WINDOWS + 1):
        masks.window(x)
        pools.add(masks._pool.data_ptr())
    assert len(pools) >= 2


@pytest.mark.parametrize("shape", [(3, 5), (2**11, 2**11)])  # the second has as many as the pool
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_of_any_size_and_type(shape, dtype):
    masks = Masks(0.25)
    for each in (dtype, torch.float32, dtype):
        assert (masks.window(torch.ones(shape, dtype=each)).shape, masks._pool.dtype) == (shape, each)


def test_dropout_keeps_the_mean_in_bfloat16_but_for_the_rounding_of_its_scale():
    torch.manual_seed(0)
    kept = PooledDropout(0.25, Masks(0.25))(torch.ones(2000, 257, dtype=torch.bfloat16)).float()
    assert float(kept.mean()) == pytest.approx(1, abs=0.005)
    x = torch.ones(3, 3)
    assert PooledDropout(0.001, Masks(0.001))(x) is x  # less than a mask can say


def test_dropout_passes_gradients_where_it_passes_values():
    x = torch.ones(50, 8, requires_grad=True)
    y = PooledDropout(0.5, Masks(0.5))(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    assert torch.equal(PooledDropout(0.5, Masks(0.5)).eval()(x), x)


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
    train, held_out = split_groups(np.arange(n_groups), fraction, np.random.default_rng(0))
    assert len(train) >= 2
    assert len(held_out) >= 1


def test_another_number_of_features_is_refused():
    model = MLPClassifier(hidden_layer_sizes=[8], max_epochs=1).fit(DIGITS[:100], NAMES[:100])
    with pytest.raises(ValueError, match=r"X: expected shape \(n, 64\), found \(100, 10\)"):
        model.predict(DIGITS[:100, :10])


@pytest.mark.parametrize("k", [1, 3, 5])
def test_neighbours_are_scikit_learns(k):
    noise = np.random.default_rng(0).normal(scale=1e-3, size=DIGITS.shape)  # no two distances are the same
    X = (DIGITS + noise).astype(np.float32)
    found = KNeighborsClassifier(k).fit(X[:900], NAMES[:900]).predict(X[900:])
    expected = sklearn.neighbors.KNeighborsClassifier(k, algorithm="brute").fit(X[:900], NAMES[:900])
    np.testing.assert_array_equal(found, expected.predict(X[900:]))


def test_neighbours_are_the_nearest_in_any_number_of_blocks(monkeypatch):
    monkeypatch.setattr(neighbors, "QUERIES", 7)
    monkeypatch.setattr(neighbors, "POINTS", 11)
    X, queries = (np.random.default_rng(seed).normal(size=(n, 3)) for seed, n in ((0, 50), (1, 20)))
    expected = ((queries[:, None] - X[None]) ** 2).sum(axis=2).argsort(axis=1, kind="stable")
    for k in (1, 4, 48, 50):
        np.testing.assert_array_equal(neighbors.search(X, queries, k)[0], expected[:, :k])


@pytest.mark.parametrize("scale", [1, 1e20])  # the second is beyond single precision's range when squared
def test_neighbours_that_single_precision_cannot_tell_apart_are_told_apart(scale):
    near = np.arange(200)[:, None] * 0.01
    X = (scale * np.concatenate([near - 1000, near + 1000])).astype(np.float32)
    found, _ = neighbors.search(X, X, 3)
    expected = np.abs(X.astype(np.float64) - X.astype(np.float64).T).argsort(axis=1, kind="stable")[:, :3]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64])
def test_neighbours_of_any_numbers(dtype):
    X = np.round(16 * DIGITS + 100).astype(dtype)
    found = KNeighborsClassifier(1).fit(X[:900], NAMES[:900]).predict(X[900:])
    expected = sklearn.neighbors.KNeighborsClassifier(1, algorithm="brute").fit(X[:900], NAMES[:900])
    assert np.mean(found == expected.predict(X[900:])) > 0.99  # some are as near as others


def test_neighbours_are_not_asked_of_what_is_no_number():
    broken = DIGITS[:10].copy()
    broken[3, 3] = np.nan
    for X, queries in ((broken, DIGITS[:10]), (DIGITS[:10], broken)):
        with pytest.raises(ValueError, match="expected finite numbers, found NaN or infinity"):
            neighbors.search(X, queries, 1)


def test_neighbours_are_ranked_in_little_memory():
    X = np.random.default_rng(0).normal(size=(1000, 500)).astype(np.float32)
    tracemalloc.start()
    neighbors.search(X, X, 50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 2**20  # all candidates in double are 220 MB


def test_no_more_neighbours_are_asked_than_there_are():
    assert KNeighborsClassifier(5).fit(DIGITS[:2], np.array([4, 4])).predict(DIGITS[:3]).tolist() == [4, 4, 4]


COUNTING = {  # those that heed weights
    "logistic": lambda: LogisticRegression(),
    "mlp": lambda: MLPClassifier(hidden_layer_sizes=[64, 32], max_epochs=6),
    "xgboost": lambda: XGBClassifier(n_estimators=20, reg_alpha=0.1, max_depth=4, learning_rate=0.3),
    "self_training": lambda: SelfTrainingMLPClassifier(hidden_layer_sizes=[64, 32], max_epochs=6),
    "convnet": lambda: ConvNetClassifier(channels=[4, 8], n_steps=12, batch_size=32, unlabelled_ratio=1),
}
OTHERS = {"knn": lambda: KNeighborsClassifier(3), "study_convnet": lambda: StudyConvNet(channels=[2], max_epochs=2)}


def fitted(model):
    """All that a model has learnt, as bytes."""
    arrays, _ = model.pack()
    return {name: np.asarray(array).tobytes() for name, array in arrays.items()}


@pytest.mark.parametrize("name", [*COUNTING, *OTHERS])
def test_weights_of_one_change_nothing(name):
    make, n = (COUNTING | OTHERS)[name], 200
    weights = np.ones(n, dtype=np.float32)
    models = [make().fit(DIGITS[:n], NAMES[:n], np.arange(n), each) for each in (None, weights)]
    assert fitted(models[0]) == fitted(models[1])


@pytest.mark.parametrize("name", ["logistic", "mlp", "xgboost"])
def test_a_point_of_weight_nought_is_not_there(name):
    n, rng = 300, np.random.default_rng(0)
    weights = rng.choice([0, 0.5, 1], n).astype(np.float32)
    y, there = np.where(weights == 0, 77, NAMES[:n]), weights > 0
    whole = COUNTING[name]().fit(DIGITS[:n], y, np.arange(n), weights)
    part = COUNTING[name]().fit(DIGITS[:n][there], y[there], np.arange(n)[there], weights[there])
    assert fitted(whole) == fitted(part)
    assert 77 not in whole.classes_


@pytest.mark.parametrize("name", ["convnet", "self_training"])
def test_to_what_learns_from_all_points_one_of_weight_nought_is_an_unlabelled_one(name):
    make, n = COUNTING[name], 150
    weights = np.where(np.arange(n) < 60, np.where(np.arange(n) % 2, 1, 0.5), 0).astype(np.float32)
    y = np.where(weights == 0, -1, NAMES[:n])
    whole, part = (make().fit(DIGITS[:n], each, None, weights) for each in (NAMES[:n], y))
    assert fitted(whole) == fitted(part)
    assert fitted(whole) != fitted(make().fit(DIGITS[:n], y))


@pytest.mark.parametrize("classes", [range(10), [3, 8]])
def test_to_logistic_regression_a_point_of_weight_two_is_two_points(classes):
    of_these = np.isin(NAMES, list(classes))
    X, y = DIGITS[of_these][:400].astype(np.float64), NAMES[of_these][:400]
    times = np.random.default_rng(0).integers(1, 4, len(X))
    settings = {"C": 0.5, "max_iter": 3000, "tol": 1e-8}
    weighed = LogisticRegression(**settings).fit(X, y, weights=times.astype(np.float64))
    copied = LogisticRegression(**settings).fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    np.testing.assert_allclose(weighed.coef_, copied.coef_, atol=1e-4)
    theirs = sklearn.linear_model.LogisticRegression(**settings).fit(np.sqrt(X), y, sample_weight=times)
    np.testing.assert_allclose(weighed.coef_, theirs.coef_, atol=1e-4)


@pytest.mark.parametrize("name", list(COUNTING))
def test_wrong_labels_do_less_harm_with_less_weight(name):
    rng = np.random.default_rng(0)
    is_wrong = rng.random(1000) < 0.5
    y = np.where(is_wrong, (NAMES[:1000] + rng.integers(1, 4, 1000)) % 10, NAMES[:1000])
    weights = np.where(is_wrong, 0.02, 1).astype(np.float32)
    make = COUNTING[name]
    if name == "convnet":
        make = lambda: ConvNetClassifier(channels=[8, 16], n_steps=150, unlabelled_ratio=0)  # noqa: E731
    plain, weighed = (make().fit(DIGITS[:1000], y, weights=each) for each in (None, weights))
    right = [np.mean(model.predict(DIGITS[1000:]) == NAMES[1000:]) for model in (plain, weighed)]
    assert right[1] > right[0] + 0.03


def test_only_how_weights_compare_matters_to_the_mlp():
    weights = np.random.default_rng(0).choice([0.25, 0.5], 200).astype(np.float32)
    models = [COUNTING["mlp"]().fit(DIGITS[:200], NAMES[:200], weights=times * weights) for times in (1, 2)]
    assert fitted(models[0]) == fitted(models[1])


@pytest.mark.parametrize("name", list(COUNTING))
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(19), r"weights: expected shape \(20,\), found \(19,\)"),
        (-np.ones(20), "weights: expected numbers of at least 0"),
        (np.full(20, np.nan), "weights: expected numbers of at least 0"),
    ],
)
def test_weights_that_are_none_are_refused(name, weights, message):
    with pytest.raises(ValueError, match=message):
        COUNTING[name]().fit(DIGITS[:20], NAMES[:20], weights=weights)


TREES = {"n_estimators": 60, "early_stopping_rounds": 5, "reg_alpha": 0.1, "max_depth": 4, "learning_rate": 0.3}


class TestTrees:
    def test_rounds_up_to_the_best_are_grown_again_from_all_labels(self):
        said = []
        model = XGBClassifier(**TREES | {"n_estimators": 300})
        model.fit(DIGITS[:600], NAMES[:600], on_progress=lambda *step: said.append(step))
        first, again = said[: model.n_iter_], said[model.n_iter_ :]
        losses = [float(note.removeprefix("held-out log-loss ")) for *_, note in first]
        assert model.n_iter_ == model.best_iteration_ + 5 < 300
        assert model.validation_score_ == pytest.approx(min(losses), abs=1e-3)
        assert losses[model.best_iteration_ - 1] == pytest.approx(min(losses), abs=1e-3)
        rounds = model.best_iteration_
        assert again == [(done, rounds, "once more, with all labels") for done in range(1, rounds + 1)]
        anew = xgboost.train(
            model._settings("cpu"),
            xgboost.QuantileDMatrix(DIGITS[:600], label=NAMES[:600], max_bin=model.max_bin),
            rounds,
        )
        assert model.booster_.save_raw() == anew.save_raw()
        assert np.mean(model.predict(DIGITS[600:]) == NAMES[600:]) > 0.85

    def test_copies_of_one_label_are_held_out_together(self, monkeypatch):
        seen = []
        train = xgboost.train
        monkeypatch.setattr(
            xgboost, "train", lambda *args, **kwargs: seen.append((args, kwargs)) or train(*args, **kwargs)
        )
        X = np.repeat(np.eye(20, dtype=np.float32), 5, axis=0)  # five copies of each of twenty points
        XGBClassifier(**TREES).fit(X, np.arange(100) // 50, groups=np.arange(100) // 5)
        ((_, learnt, _), settings), ((_, everything, _), _) = seen
        assert (learnt.num_row(), settings["evals"][0][0].num_row(), everything.num_row()) == (90, 10, 100)

    def test_the_watched_points_say_when_to_stop(self):
        scores = iter([0.1, 0.5, *[0.2] * 100])
        model = XGBClassifier(**TREES)
        model.fit(DIGITS[:200], NAMES[:200], watch=Watch(DIGITS[200:210], lambda predicted: next(scores)))
        assert (model.best_iteration_, model.n_iter_, model.validation_score_) == (2, 7, 0.5)

    def test_class_numbers_may_be_any(self):
        of_these = np.isin(NAMES, [3, 8])
        seen = []
        watch = Watch(DIGITS[of_these][:50], lambda predicted: seen.extend(predicted.tolist()) or 0.5)
        model = XGBClassifier(n_estimators=3).fit(DIGITS[of_these], NAMES[of_these], watch=watch)
        assert set(model.predict(DIGITS[of_these]).tolist()) == set(seen) == {3, 8}

    def test_trees_without_a_split_are_called_so(self, monkeypatch):
        said = []
        monkeypatch.setattr("gpussl.runtime.console.say", said.append)
        XGBClassifier(n_estimators=3).fit(DIGITS[:200], NAMES[:200])
        assert not said
        XGBClassifier(n_estimators=3).fit(DIGITS[:30], NAMES[:30])
        assert said[0].startswith("xgboost: no tree has a split, so every point gets one class: 30 labels are too few")

    def test_the_old_name_of_the_gpus_method_is_accepted(self):
        old, new = (XGBClassifier(n_estimators=3, tree_method=name) for name in ("gpu_hist", "hist"))
        found = [model.fit(DIGITS[:200], NAMES[:200]).predict(DIGITS) for model in (old, new)]
        np.testing.assert_array_equal(*found)
        with pytest.raises(ConfigError, match="tree_method: expected one of hist, gpu_hist, found 'exact'"):
            XGBClassifier(tree_method="exact")

    def test_the_settings_reach_xgboost(self):
        model = XGBClassifier(n_estimators=1, max_depth=7, reg_lambda=3.5, max_bin=16).fit(DIGITS[:200], NAMES[:200])
        kept = model.booster_.save_config()
        for setting in (
            '"max_depth":"7"',
            '"reg_lambda":"3.5"',
            '"max_bin":"16"',
            '"reg_alpha":"8"',
            '"subsample":"0.8',
        ):
            assert setting in kept.replace("\n", "").replace(" ", ""), setting


class TestStudyConvNet:
    def test_has_the_published_layers(self):
        network = StudyConvNet().build(784, 10)
        convolutions = [layer for layer in network if isinstance(layer, torch.nn.Conv2d)]
        assert [(c.in_channels, c.out_channels, c.kernel_size[0]) for c in convolutions] == [
            (1, 32, 3), (32, 64, 3), (64, 128, 3), (128, 1, 1),
        ]  # fmt: skip
        dense = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
        assert [(layer.in_features, layer.out_features) for layer in dense] == [(784, 64), (64, 10)]
        assert network(torch.zeros(2, 784)).shape == (2, 10)
        assert network(torch.zeros(2, 784)).dtype == torch.float32

    def test_learns_the_digits(self):
        model = StudyConvNet(channels=[8, 16], max_epochs=12, learning_rate=3e-3).fit(DIGITS[:1300], NAMES[:1300])
        assert np.mean(model.predict(DIGITS[1300:]) == NAMES[1300:]) > 0.8

    def test_the_last_tenth_is_held_out(self):
        train, held_out = StudyConvNet().split(np.zeros(50))
        assert (train.tolist(), held_out.tolist()) == (list(range(45)), list(range(45, 50)))
        assert [len(side) for side in StudyConvNet().split(np.zeros(3))] == [2, 1]

    def test_images_must_be_square(self):
        with pytest.raises(ConfigError, match="expected images, whose pixels are the features, found 50 features"):
            StudyConvNet().build(50, 10)
