"""Gradients: which way the edges run in each part of an image, whatever is to be learnt from it."""

import math

import torch
from torch import Tensor, nn


class OrientedGradients(nn.Module):
    """For each part of an image and each direction, the square root of how much edge runs there; nothing is learnt.

    A gradient counts by its length for the two directions it is between, and for the parts it is near, by a Gaussian.
    The square root keeps strong edges from being all that counts. Histograms are not brought to one length, so an
    empty part stays empty.

    Parameters
    ----------
    height, width : int
        Of the images.
    n_cells : int
        Parts on each side.
    n_orientations : int
        Directions, all around.
    blur : float
        Standard deviation of the Gaussian, in sides of a part.

    References
    ----------
    Dalal, Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.
    Arandjelović, Zisserman, "Three things everyone should know to improve object retrieval", CVPR 2012: the root.
    """

    directions: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, height: int, width: int, n_cells: int, n_orientations: int, blur: float) -> None:
        super().__init__()
        self.step = 2 * math.pi / n_orientations
        directions = self.step * torch.arange(n_orientations)[:, None, None]
        self.register_buffer("directions", directions, persistent=False)
        self.register_buffer("rows", _parts(height, n_cells, blur), persistent=False)
        self.register_buffer("columns", _parts(width, n_cells, blur), persistent=False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(n, channels, height, width) -> (n, channels * n_orientations, n_cells, n_cells)."""
        n, channels = images.shape[:2]
        images = images.flatten(0, 1)
        down, across = torch.zeros_like(images), torch.zeros_like(images)
        down[:, 1:-1] = (images[:, 2:] - images[:, :-2]) / 2
        across[:, :, 1:-1] = (images[:, :, 2:] - images[:, :, :-2]) / 2
        length, angle = torch.hypot(down, across), torch.atan2(down, across)
        apart = ((angle[:, None] - self.directions + math.pi) % (2 * math.pi) - math.pi).abs()
        edges = length[:, None] * (1 - apart / self.step).clamp(min=0)
        return (self.rows @ edges @ self.columns.T).sqrt().unflatten(0, (n, channels)).flatten(1, 2)


def _parts(size: int, n_cells: int, blur: float) -> Tensor:
    """(n_cells, size): how much each pixel of a side counts for each part of it; for one part, 1 in all."""
    side = size / n_cells
    middles = side * (torch.arange(n_cells) + 0.5)
    apart = torch.arange(size) + 0.5 - middles[:, None]
    return torch.softmax(-0.5 * (apart / (blur * side)) ** 2, dim=1)  # a Gaussian that is nowhere 0 / 0
