"""Augment: images changed as a camera or a hand might change them, all of a batch at once, where they are.

How far is a share of an image's own side, so it holds for any size; nothing here knows of classes.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

MIRROR_SAMPLE = 5000  # images among which neighbours are sought
MIRROR_RATIO = 1.25  # how much farther the nearest neighbour of a mirror image may be than that of the image itself


@dataclass(frozen=True)
class Augmentation:
    """Random changes, each drawn anew for each image.

    Parameters
    ----------
    shift : float
        Up to this share of the side, up or down and left or right.
    rotation : float
        Up to so many degrees.
    contrast : float
        Values are multiplied by up to this share more or less.
    brightness : float
        Up to so much is added where there is anything at all.
    cutout : float
        A rectangle of up to this share of each side is blanked.
    mirror : bool
        Half of the images are mirrored, left to right.
    """

    shift: float = 0.0
    rotation: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    cutout: float = 0.0
    mirror: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        """(n, channels, height, width) images from 0 to 1 -> the same, changed."""
        n, device = len(images), images.device
        if n == 0:
            return images
        grid = nn.functional.affine_grid(
            self._maps(n, images.shape[2] / images.shape[3], device), list(images.shape), align_corners=False
        )
        changed = nn.functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
        if self.contrast or self.brightness:
            gain = 1 + self.contrast * _symmetric(n, device)[:, None, None, None]
            lift = self.brightness * _symmetric(n, device)[:, None, None, None]
            changed = changed * gain + lift * (changed > 0)
        if self.cutout:
            changed = changed * self._outside(n, images.shape[2], images.shape[3], device)
        return changed

    def _maps(self, n: int, aspect: float, device: torch.device) -> Tensor:
        """(n, 2, 3): from where each place of a new image is taken; coordinates run from -1 to 1 on either side.

        So what turns from one side to the other is to be scaled by `aspect`, the height over the width.
        """
        angle = math.radians(self.rotation) * _symmetric(n, device)
        cos, sin = torch.cos(angle), torch.sin(angle)
        side = torch.ones(n, device=device)
        if self.mirror:
            side = torch.where(torch.rand(n, device=device) < 0.5, -1.0, 1.0)
        shifts = [2 * self.shift * _symmetric(n, device) for _ in range(2)]
        rows = (cos * side, -sin * aspect, shifts[0], sin * side / aspect, cos, shifts[1])
        return torch.stack(rows, dim=1).view(n, 2, 3)

    def _outside(self, n: int, height: int, width: int, device: torch.device) -> Tensor:
        """(n, 1, height, width): 0 in a rectangle of each image, and 1 outside it."""
        half = self.cutout * torch.rand(n, device=device) / 2
        inside = [
            (torch.arange(size, device=device)[None, :] + 0.5 - size * torch.rand(n, 1, device=device)).abs()
            < size * half[:, None]
            for size in (height, width)
        ]
        return 1 - (inside[0][:, None, :, None] & inside[1][:, None, None, :]).float()


WEAK = Augmentation(shift=1 / 14)
STRONG = Augmentation(shift=1 / 8, rotation=10, contrast=0.3, brightness=0.2, cutout=0.5)


def looks_the_same_mirrored(images: Tensor) -> bool:
    """Whether (n, 1, height, width) images and their mirror images, left to right, come from the same world.

    They do if a mirror image's nearest neighbour among the others is, at the median, about as near as the image's own.
    No label is asked for.
    """
    drawn = images[torch.randperm(len(images), device=images.device)[:MIRROR_SAMPLE]]
    points, mirrored = drawn.flatten(1), drawn.flip(3).flatten(1)
    own = torch.cdist(points, points).fill_diagonal_(math.inf).amin(dim=1)
    other = torch.cdist(mirrored, points).fill_diagonal_(math.inf).amin(dim=1)
    return bool(other.median() <= MIRROR_RATIO * own.median())


def _symmetric(n: int, device: torch.device) -> Tensor:
    """(n,) random numbers from -1 to 1."""
    return 2 * torch.rand(n, device=device) - 1
