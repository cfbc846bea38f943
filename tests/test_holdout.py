"""What is held out."""

import numpy as np
import pytest

from gpussl.classifier.holdout import split_groups


def test_copies_of_one_label_are_never_on_both_sides_of_the_split():
    groups = np.repeat(np.arange(30), 7)
    train, held_out = split_groups(groups, 0.1, np.random.default_rng(0))
    assert len(set(groups[held_out])) == 3
    assert not set(groups[train]) & set(groups[held_out])
    assert sorted([*train, *held_out]) == list(range(210))


@pytest.mark.parametrize(("n_groups", "fraction"), [(3, 0.5), (3, 0.9), (4, 0.9), (100, 0.99)])
def test_two_groups_at_least_are_left_to_learn_from(n_groups, fraction):
    train, held_out = split_groups(np.arange(n_groups), fraction, np.random.default_rng(0))
    assert len(train) >= 2
    assert len(held_out) >= 1
