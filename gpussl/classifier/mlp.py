"""A multilayer perceptron in PyTorch that trains on the device of its data."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from gpussl.classifier.base import SCALE
from gpussl.classifier.network import NetworkClassifier
from gpussl.nets.tensors import Captured, RunningAverage, multiplies_bfloat16
from gpussl.records import UNLABELLED, Array, OnProgress
from gpussl.runtime.params import check, param

SHALLOW = 2  # hidden layers
POOL, WINDOWS = 2**22, 100  # size of a pool of masks, and the number of masks taken before a new pool is drawn


@dataclass(eq=False)
class MLPClassifier(NetworkClassifier):
    """Linear layers with batch normalisation, ReLU and dropout between them; seven layers by default.

    Trained with AdamW and a one-cycle learning rate. A share of the training labels is held out. Training stops when
    the accuracy on the hold-out no longer improves, and the best epoch is kept. With too few labels for a hold-out,
    training is a fixed number of epochs on all of them. The running average of the weights is
    scored and kept rather than the weights themselves: with wrong labels the best epoch comes early, while the learning
    rate is still high and the weights are noisy.

    Parameters
    ----------
    hidden_layer_sizes : list of int
        Widths of the hidden layers, one fewer than the linear layers.
    shallow_below : int
        With fewer labels than this, or than half as many as features, only the first two hidden layers are used; 0 for
        never.
    dropout : float
        Share of hidden units dropped.
    learning_rate : float
        Peak of the cycle.
    weight_decay : float
    averaging : float
        Decay of the running average of the weights; lower at first, so that the average spans about the last tenth of
        the steps so far.
    batch_size : int
    min_epoch_steps : int
        An epoch is one pass over the training points, or as many passes as this number of steps takes.
    max_epochs : int
    precision : {"auto", "float32", "bfloat16"}
        Precision of the matrix products in training; weights and sums are float32. "auto" is bfloat16 if the device
        multiplies it faster.
    patience : int
        Number of epochs without improvement on the hold-out after which training stops.
    validation_fraction : float
        Share of the training labels that is held out. With `groups`, it is the share of the groups.
    few_epochs, min_held_out : int
        Number of epochs where fewer labels than `min_held_out` would be held out, and so none is.
    scale : {"auto", "none"}
        With "auto" the points are centred and scaled; features in different units, each by its own deviation.
    random_state : int

    References
    ----------
    Ioffe, Szegedy, "Batch Normalization", ICML 2015. Srivastava et al., "Dropout", JMLR 2014.
    Loshchilov, Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    Smith, Topin, "Super-Convergence", 2018.
    Polyak, Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim., 1992.

    Examples
    --------
    >>> X, y = [[-1.0], [-0.9], [0.9], [1.0]] * 3, ["low", "low", "high", "high"] * 3
    >>> model = MLPClassifier(hidden_layer_sizes=[4], learning_rate=0.2, min_epoch_steps=5, max_epochs=1).fit(X, y)
    >>> model.predict([[-0.95], [0.95]]).tolist(), model.n_iter_
    (['low', 'high'], 1)
    """

    kind: ClassVar[str] = "mlp"

    hidden_layer_sizes: list[int] = param([512] + [256] * 5, ge=1)
    dropout: float = param(0.25, ge=0, lt=1)
    learning_rate: float = param(2e-3, gt=0)
    weight_decay: float = param(1e-2, ge=0)
    averaging: float = param(0.998, ge=0, lt=1)
    batch_size: int = param(512, ge=2)
    min_epoch_steps: int = param(25, ge=1)
    max_epochs: int = param(40, ge=1)
    patience: int = param(4, ge=1)
    validation_fraction: float = param(0.1, gt=0, lt=1)
    shallow_below: int = param(50, ge=0)
    few_epochs: int = param(8, ge=1)
    min_held_out: int = param(100, ge=0)
    precision: str = param("auto", choices=("auto", "float32", "bfloat16"))
    scale: str = SCALE
    random_state: int = 0

    def __post_init__(self) -> None:
        check(self)

    def _fit(
        self,
        X: Array,
        y: np.ndarray,
        weights: np.ndarray | None,
        groups: np.ndarray | None,
        on_progress: OnProgress | None,
    ) -> None:
        """Choose the depth, and train a new network."""
        of_labels = np.arange(len(y)) if groups is None else groups
        n_labels = len(np.unique(of_labels[y != UNLABELLED]))
        is_shallow = self.shallow_below > 0 and n_labels < max(self.shallow_below, X.shape[1] / 2)
        self.n_hidden_ = SHALLOW if is_shallow else len(self.hidden_layer_sizes)
        super()._fit(X, y, weights, groups, on_progress)

    def build(self, n_features: int, n_classes: int) -> nn.Sequential:
        """Build the untrained network."""
        layers: list[nn.Module] = []
        masks = Masks(self.dropout)
        for width in self.hidden_layer_sizes[: self.n_hidden_]:
            # no bias: batch normalisation would cancel it
            linear = nn.Linear(n_features, width, bias=False)
            layers += [linear, nn.BatchNorm1d(width), nn.ReLU(), PooledDropout(self.dropout, masks)]
            n_features = width
        return nn.Sequential(*layers, nn.Linear(n_features, n_classes))

    def prepared(self, seed: int, image_shape: Sequence[int] | None, device: str) -> Self:
        """See `BaseClassifier.prepared`; a precision of "auto" is resolved, too."""
        model = super().prepared(seed, image_shape, device)
        model.precision = model.settled_precision(device)
        return model

    def settled_precision(self, device: str) -> str:
        """Return the precision, with "auto" resolved for a kind of device, "cpu" or "cuda"."""
        if self.precision != "auto":
            return self.precision
        return "bfloat16" if multiplies_bfloat16(device) else "float32"

    def epochs(
        self, features: Tensor, labels: Tensor, train: Tensor, label_weights: Tensor | None
    ) -> Iterator[nn.Module]:
        """Train epoch by epoch; yield the network with the averaged weights."""
        kind = features.device.type
        learner = copy.deepcopy(self.network_).train()
        average = RunningAverage(learner, self.averaging)
        optimizer, schedule = self._optimizer(learner, len(train))
        products = torch.autocast(kind, torch.bfloat16, self.settled_precision(kind) == "bfloat16", cache_enabled=False)

        def find_slopes(batch: Tensor) -> None:
            optimizer.zero_grad(set_to_none=True)
            with products:
                outputs = learner(features[batch])
            if label_weights is None:
                loss = nn.functional.cross_entropy(outputs.float(), labels[batch])
            else:
                losses = nn.functional.cross_entropy(outputs.float(), labels[batch], reduction="none")
                loss = (losses * label_weights[batch]).mean()
            loss.backward()

        learn_from = Captured(find_slopes, learner)
        while True:
            for batch in self._epoch_batches(train):
                learn_from(batch)
                optimizer.step()
                schedule.step()
                average.update()
            yield average.module

    def _optimizer(
        self, network: nn.Module, n: int
    ) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        """AdamW and its learning-rate schedule for all epochs over n training points."""
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True
        )
        n_batches, n_passes = self._epoch_size(n)
        n_steps = self.n_epochs_ * n_passes * n_batches
        return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=n_steps)

    def _epoch_size(self, n: int) -> tuple[int, int]:
        """Batches in a pass over n training points, and passes in an epoch."""
        n_batches = n // min(self.batch_size, n)
        return n_batches, -(-self.min_epoch_steps // n_batches)

    def _epoch_batches(self, indices: Tensor) -> Iterator[Tensor]:
        """Shuffled batches of one epoch, of equal size: a short last one would distort batch normalisation."""
        n_batches, n_passes = self._epoch_size(len(indices))
        batch_size = min(self.batch_size, len(indices))
        for _ in range(n_passes):
            shuffled = indices[torch.randperm(len(indices), device=indices.device)]
            yield from shuffled[: n_batches * batch_size].split(batch_size)


class Masks:
    """A pool of dropout masks; each batch and layer takes a window at a random offset.

    The dropout rate is rounded to a multiple of 1/256. Units that are kept are scaled by the inverse of the share kept.

    Parameters
    ----------
    p : float
        Dropout rate.

    Examples
    --------
    >>> Masks(0.5).window(torch.ones(64, 64)).unique()
    tensor([0., 2.])
    """

    def __init__(self, p: float) -> None:
        self.threshold = min(round(256 * p), 255)
        self._pool, self._n_windows = torch.empty(0), 0

    def window(self, x: Tensor) -> Tensor:
        """Return a mask for a batch: factors of the same shape and type."""
        if self._n_windows == 0 or self._pool.dtype != x.dtype or len(self._pool) < 2 * x.numel():
            self._draw(max(POOL, 2 * x.numel()), x.dtype)
        self._n_windows -= 1
        first = int(torch.randint(len(self._pool) - x.numel() + 1, (1,)))
        return self._pool[first : first + x.numel()].view(x.shape)

    def _draw(self, n: int, dtype: torch.dtype) -> None:
        """Draw a new pool: each random 64-bit integer provides eight factors."""
        drawn = torch.empty(-(-n // 8), dtype=torch.int64).random_(-(2**63), None).view(torch.uint8)
        self._pool = (drawn >= self.threshold).to(dtype).mul_(256 / (256 - self.threshold))
        self._n_windows = WINDOWS


class PooledDropout(nn.Module):
    """Dropout that takes its masks from a pool on a CPU.

    Drawing a random number for each unit would take a quarter of the time of a training step. Parts of the pool are
    reused in later steps, for other units.

    Parameters
    ----------
    p : float
        Dropout rate.
    masks : Masks

    Examples
    --------
    >>> dropout, x = PooledDropout(0.5, Masks(0.5)), torch.ones(64, 64)
    >>> dropout(x).unique(), dropout.eval()(x).unique()
    (tensor([0., 2.]), tensor([1.]))
    """

    def __init__(self, p: float, masks: Masks) -> None:
        super().__init__()
        self.p, self.masks = p, masks

    def forward(self, x: Tensor) -> Tensor:
        """(n, width) -> (n, width)."""
        if not self.training or self.masks.threshold == 0:
            return x
        return nn.functional.dropout(x, self.p) if x.is_cuda else x * self.masks.window(x)
