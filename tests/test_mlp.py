"""The multilayer perceptron: layers, dropout, stopping."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs

from gpussl.classifier import mlp
from gpussl.classifier.mlp import Masks, MLPClassifier, PooledDropout
from tests.digits import IMAGES as DIGITS
from tests.digits import NAMES

SMALL = {"hidden_layer_sizes": [64] * 6, "max_epochs": 8}


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
    model = MLPClassifier(**SMALL, validation_fraction=0.3, min_held_out=50, patience=2).fit(
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


def test_only_how_weights_compare_matters_to_the_mlp():
    weights = np.random.default_rng(0).choice([0.25, 0.5], 200).astype(np.float32)
    small = {"hidden_layer_sizes": [64, 32], "max_epochs": 6}
    models = [MLPClassifier(**small).fit(DIGITS[:200], NAMES[:200], times * weights) for times in (1, 2)]
    np.testing.assert_array_equal(*(model.predict_proba(DIGITS) for model in models))
