"""Histograms of oriented gradients, as a PyTorch module without parameters."""

import math

import torch
from torch import Tensor, nn


class OrientedGradients(nn.Module):
    """Square roots of the histograms of oriented gradients, for a grid of cells; nothing is learnt.

    Each gradient adds its length to the two orientations nearest its own, by linear interpolation, and to the cells
    around it, by Gaussian weights. The square root reduces the dominance of strong edges. Histograms are not
    normalised, so an empty cell stays 0.

    Parameters
    ----------
    height, width : int
        Size of the images.
    n_cells : int
        Cells along each side.
    n_orientations : int
        Orientations over the full circle.
    blur : float
        Standard deviation of the Gaussian, in sides of a cell.

    References
    ----------
    Dalal, Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.
    Arandjelović, Zisserman, "Three things everyone should know to improve object retrieval", CVPR 2012: the root.

    Examples
    --------
    >>> images = torch.zeros(1, 1, 8, 8)
    >>> images[:, :, :, 4:] = 1  # a vertical edge: the gradient points right, in orientation 0
    >>> histograms = OrientedGradients(8, 8, n_cells=2, n_orientations=4, blur=0.5)(images)
    >>> histograms.shape, histograms.sum(dim=(0, 2, 3)).argmax()
    (torch.Size([1, 4, 2, 2]), tensor(0))
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
        """Map (n, channels, height, width) images to (n, channels * n_orientations, n_cells, n_cells) histograms."""
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
    """(n_cells, size): Gaussian weights of the pixels along a side for each cell; each row sums to 1."""
    side = size / n_cells
    middles = side * (torch.arange(n_cells) + 0.5)
    apart = torch.arange(size) + 0.5 - middles[:, None]
    return torch.softmax(-0.5 * (apart / (blur * side)) ** 2, dim=1)  # normalised without the risk of 0 / 0
