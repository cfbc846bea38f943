"""The growth benchmark's own parts: what it measures on, and how it sums up."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from gpussl.data.idx import read_idx

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def growth(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("growth")


def test_tiles_are_the_images_and_then_the_same_with_noise(growth, tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "TILE_ROWS", 10)
    X = np.random.default_rng(0).integers(0, 256, (10, 6), dtype=np.uint8)
    growth.write_idx(tmp_path / "tiled", (25, 2, 3), growth.tiles(X, 25))
    values, _ = read_idx(tmp_path / "tiled", 3)
    rows = values.reshape(25, 6).astype(int)
    np.testing.assert_array_equal(rows[:10], X)
    for tile in (rows[10:20], rows[20:]):
        difference = np.abs(tile - X[: len(tile)])
        assert 0 < difference.max() <= growth.NOISE


@pytest.mark.parametrize("power", [1, 2])
def test_the_slope_is_the_power(growth, power):
    measured = [{"rows": n, "clusters": growth.OF_ROWS, "seconds": 3 * n**power} for n in (10, 100, 1000)]
    assert growth.slope(measured, "rows") == pytest.approx(power)
