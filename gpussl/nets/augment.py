"""Random augmentation of image batches, on whatever device they are.

Distances are shares of the side of the image, so one setting fits any size. Nothing here depends on the classes.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

MIRROR_SAMPLE = 5000  # images to search for neighbours: the tables of distances are quadratic in it
MIRROR_RATIO = 1.25  # largest ratio of the median distances: mirror image to neighbour, over image to neighbour


@dataclass(frozen=True)
class Augmentation:
    """Random transformations, drawn independently for each image from PyTorch's generator.

    Parameters
    ----------
    shift : float
        Largest translation along each axis, as a share of the side.
    rotation : float
        Largest rotation either way, in degrees.
    contrast : float
        Pixels are multiplied by a factor from 1 - contrast to 1 + contrast.
    brightness : float
        Pixels above 0 are shifted by a value from -brightness to brightness.
    cutout : float
        Largest sides of a rectangle that is set to 0, as shares of the sides of the image.
    mirror : bool
        Whether each image is mirrored, left to right, with probability 1/2.

    Examples
    --------
    >>> WEAK(torch.ones(4, 1, 28, 28)).shape
    torch.Size([4, 1, 28, 28])
    """

    shift: float = 0.0
    rotation: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    cutout: float = 0.0
    mirror: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        """Transform (n, channels, height, width) images with values from 0 to 1; the shape stays."""
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
        """Affine maps (n, 2, 3) from places in the new image to places in the old one.

        Coordinates run from -1 to 1 along both axes, so the terms that mix the axes are scaled by `aspect`, the height
        over the width.
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
        """A mask (n, 1, height, width): 0 inside a random rectangle of each image, and 1 outside it."""
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
    """Decide without labels whether (n, 1, height, width) images may be mirrored, left to right.

    They may if mirror images look like images of the same kind: the median distance from a mirror image to its nearest
    neighbour among the other images is at most `MIRROR_RATIO` times the median for the images themselves.

    Examples
    --------
    >>> left = torch.zeros(3, 1, 2, 4)
    >>> left[..., 0] = torch.tensor([0.6, 0.8, 1.0])[:, None, None]  # bars, all on the left
    >>> looks_the_same_mirrored(left), looks_the_same_mirrored(torch.cat([left, left.flip(3)]))
    (False, True)
    """
    drawn = images[torch.randperm(len(images), device=images.device)[:MIRROR_SAMPLE]]
    points, mirrored = drawn.flatten(1), drawn.flip(3).flatten(1)
    own = torch.cdist(points, points).fill_diagonal_(math.inf).amin(dim=1)
    other = torch.cdist(mirrored, points).fill_diagonal_(math.inf).amin(dim=1)
    return bool(other.median() <= MIRROR_RATIO * own.median())


def _symmetric(n: int, device: torch.device) -> Tensor:
    """(n,) random numbers, uniform from -1 to 1."""
    return 2 * torch.rand(n, device=device) - 1
