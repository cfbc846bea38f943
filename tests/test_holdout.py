"""What is held out."""

import numpy as np
import pytest

from gpussl.classifier.holdout import split_groups


def test_copies_of_one_label_are_never_on_both_sides_of_the_split():
    groups = np.repeat(np.arange(30), 7)
    train, held_out = split_groups(np.zeros(210, dtype=int), groups, 0.1, np.random.default_rng(0))
    assert len(set(groups[held_out])) == 3
    assert not set(groups[train]) & set(groups[held_out])
    assert sorted([*train, *held_out]) == list(range(210))


@pytest.mark.parametrize(("n_groups", "fraction"), [(3, 0.5), (3, 0.9), (4, 0.9), (100, 0.99)])
def test_two_groups_at_least_are_left_to_learn_from(n_groups, fraction):
    train, held_out = split_groups(
        np.zeros(n_groups, dtype=int), np.arange(n_groups), fraction, np.random.default_rng(0)
    )
    assert len(train) >= 2
    assert len(held_out) >= 1


def test_a_class_of_one_label_is_learnt_from():
    y = np.array([0] * 20 + [1] * 20 + [2])
    for seed in range(50):
        train, held_out = split_groups(y, np.arange(41), 0.1, np.random.default_rng(seed))
        assert 40 in train
        assert len(held_out) >= 3


def test_something_is_held_out_whatever_the_classes():
    train, held_out = split_groups(np.arange(4), np.arange(4), 0.9, np.random.default_rng(0))
    assert (len(train), len(held_out)) == (3, 1)
