import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gpussl.numeric import arrays

groups_and_values = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=30)


@given(pairs=groups_and_values)
def test_smallest_of_each_group_is_the_first_minimum(xp, host, pairs):
    groups, values = np.array(pairs).T
    position, occupied = arrays.smallest_of_each_group(xp.asarray(groups), xp.asarray(values), 7)
    for group in range(7):
        members = [index for index, (g, _) in enumerate(pairs) if g == group]
        assert bool(occupied[group]) == bool(members)
        if members:
            assert int(position[group]) == min(members, key=lambda index: (values[index], index))


@given(st.sets(st.integers(0, 19), max_size=20))
def test_scatter_puts_values_where_they_belong(xp, host, indices):
    indices = np.array(sorted(indices), dtype=np.int64)
    found = host(arrays.scatter(xp.asarray(indices), xp.asarray(indices * 10), 20, -1))
    expected = np.full(20, -1)
    expected[indices] = indices * 10
    np.testing.assert_array_equal(found, expected)


def test_distances_agree_with_differences(xp, host):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 5)), rng.normal(size=(7, 5))
    expected = ((X[:, None] - Y[None]) ** 2).sum(axis=2)
    on_device = xp.asarray(X), xp.asarray(Y)
    norms = [arrays.squared_norms(array) for array in on_device]
    np.testing.assert_allclose(host(arrays.squared_distances(*on_device, *norms)), expected, atol=1e-12)
    nearest = expected.argmin(axis=1)
    np.testing.assert_allclose(
        host(arrays.paired_distances(*on_device, xp.asarray(nearest))), np.sqrt(expected.min(axis=1)), rtol=1e-12
    )


def test_squared_distances_are_never_negative(xp):
    X = xp.asarray(np.full((3, 784), 0.1, dtype=np.float32))
    norms = arrays.squared_norms(X)
    assert bool(xp.all(arrays.squared_distances(X, X, norms, norms) >= 0))


@given(st.integers(0, 200), st.integers(1, 2**26))
def test_row_blocks_cover_every_row_once_and_stay_small(n_rows, row_bytes):
    blocks = list(arrays.row_blocks(n_rows, row_bytes))
    assert [row for block in blocks for row in range(block.start, block.stop)] == list(range(n_rows))
    assert all((b.stop - b.start) * row_bytes <= max(arrays.BLOCK_BYTES, row_bytes) for b in blocks)
