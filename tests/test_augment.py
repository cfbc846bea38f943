"""Augmentations against what they are said to do."""

import dataclasses

import numpy as np
import pytest
import torch

from gpussl.nets.augment import STRONG, WEAK, Augmentation, looks_the_same_mirrored

SQUARE = torch.zeros(64, 1, 16, 16)
SQUARE[:, :, 6:10, 5:9] = 0.5


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def centres(images):
    """Where the mass of each image is, (n, 2), in pixels."""
    places = torch.stack(torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij"), dim=-1)
    mass = images[:, 0, :, :, None]
    return (mass * places).sum(dim=(1, 2)) / mass.sum(dim=(1, 2))


def test_nothing_asked_for_changes_nothing():
    torch.testing.assert_close(Augmentation()(SQUARE), SQUARE)


def test_mirroring_mirrors_half_of_the_images():
    changed = Augmentation(mirror=True)(SQUARE)
    mirrored = [torch.allclose(image, SQUARE[0].flip(2), atol=1e-5) for image in changed]
    same = [torch.allclose(image, SQUARE[0], atol=1e-5) for image in changed]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 16 < sum(mirrored) < 48


def test_a_shift_is_at_most_the_share_asked_for_and_shape_stays():
    changed = Augmentation(shift=1 / 8)(SQUARE)
    moved = (centres(changed) - centres(SQUARE)).abs()
    assert 1 < float(moved.max()) <= 2.05
    torch.testing.assert_close(changed.sum(dim=(1, 2, 3)), SQUARE.sum(dim=(1, 2, 3)), rtol=1e-3, atol=1e-3)


def test_a_rotation_turns_about_the_middle_by_at_most_the_angle():
    dot = torch.zeros(64, 1, 17, 17)
    dot[:, :, 8, 14:17] = 1.0
    changed = Augmentation(rotation=30)(dot)
    rows, columns = (torch.arange(17.0) - 8 for _ in range(2))
    mass = changed[:, 0]
    y = (mass * rows[None, :, None]).sum(dim=(1, 2)) / mass.sum(dim=(1, 2))
    x = (mass * columns[None, None, :]).sum(dim=(1, 2)) / mass.sum(dim=(1, 2))
    angles = torch.rad2deg(torch.atan2(y, x)).abs()
    assert 20 < float(angles.max()) < 31.5


def test_a_rotation_keeps_its_angle_on_an_oblong_image():
    dot = torch.zeros(64, 1, 17, 33)
    dot[:, :, 8, 20:24] = 1.0
    mass = Augmentation(rotation=30)(dot)[:, 0]
    total = mass.sum(dim=(1, 2))
    y = (mass * (torch.arange(17.0) - 8)[None, :, None]).sum(dim=(1, 2)) / total
    x = (mass * (torch.arange(33.0) - 16)[None, None, :]).sum(dim=(1, 2)) / total
    angles = torch.rad2deg(torch.atan2(y, x)).abs()
    assert 20 < float(angles.max()) < 31.5
    torch.testing.assert_close(torch.hypot(x, y), torch.full((64,), 5.5), atol=0.3, rtol=0)


def test_a_cut_out_square_is_blank_and_at_most_so_large():
    full = torch.ones(64, 1, 16, 16)
    blank = (Augmentation(cutout=0.5)(full) == 0)[:, 0]
    assert float(blank.any(dim=1).sum(dim=1).max()) <= 9
    assert float(blank.float().mean()) > 0
    filled = blank.any(dim=1)[:, None, :] & blank.any(dim=2)[:, :, None]
    assert torch.equal(blank, filled)  # rectangles, cut off at the edges


def test_brightness_leaves_the_background_and_contrast_multiplies():
    changed = Augmentation(contrast=0.3, brightness=0.2)(SQUARE)
    assert bool((changed[SQUARE == 0] == 0).all())
    inside = changed[:, 0, 7, 6]
    assert 0.5 * 0.7 - 0.2 <= float(inside.min()) < 0.45
    assert 0.55 < float(inside.max()) <= 0.5 * 1.3 + 0.2


@pytest.mark.parametrize("augmentation", [WEAK, STRONG, dataclasses.replace(STRONG, mirror=True)])
@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (5, 9)])
def test_any_shape_will_do(augmentation, shape):
    changed = augmentation(torch.rand(7, 1, *shape))
    assert changed.shape == (7, 1, *shape)
    assert bool(torch.isfinite(changed).all())


def test_what_has_mirror_images_among_it_is_told_from_what_has_not():
    rng = np.random.default_rng(0)
    ramps = np.linspace(0, 1, 8)[None, None, :] * rng.uniform(0.5, 1, (300, 8, 1))
    ramps = torch.as_tensor(ramps + 0.05 * rng.normal(size=(300, 8, 8)), dtype=torch.float32)[:, None]
    assert not looks_the_same_mirrored(ramps)
    either = torch.where(torch.arange(300)[:, None, None, None] % 2 == 0, ramps, ramps.flip(3))
    assert looks_the_same_mirrored(either)
