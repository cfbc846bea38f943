"""A multilayer perceptron in PyTorch that trains where its data are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from array_api_compat import array_namespace
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gpussl import backend, seeds
from gpussl.errors import DeviceError
from gpussl.params import check, param
from gpussl.records import Array

PREDICT_ROWS = 8192  # rows of one forward pass when nothing is learnt


@dataclass(eq=False)
class MLPClassifier(ClassifierMixin, BaseEstimator):
    """Linear layers with batch normalisation, ReLU and dropout between them; seven layers by default.

    Trained with AdamW under a one-cycle learning rate. A share of the training labels is held out; training stops when
    they gain no more, and the epoch that did best on them is kept. What is scored and kept is the running average of
    the weights: where labels are wrong the best epoch comes early, while the learning rate is still high and the
    weights themselves still noisy.

    Parameters
    ----------
    hidden_layer_sizes : list of int
        Widths between the layers: one fewer than there are layers.
    dropout : float
        Share of hidden units dropped.
    learning_rate : float
        The highest of the cycle.
    weight_decay : float
    averaging : float
        Decay of the running average of the weights. It begins lower, so that it spans about the last tenth of the steps
        until then.
    batch_size : int
    min_epoch_steps : int
        An epoch is one pass over the training points, or as many as make so many steps where they are few.
    max_epochs : int
    patience : int
        Stop after so many epochs without gain on the held-out labels.
    validation_fraction : float
        Share of the training labels that is held out: of the bought ones, where `groups` says which come from which.
    random_state : int

    Attributes
    ----------
    classes_ : (n_classes,) int array, on the host
    network_ : torch.nn.Sequential
    n_iter_ : int
        Epochs run.
    best_epoch_ : int
        The epoch, from 1, whose weights were kept.
    validation_score_ : float
        Accuracy on the held-out labels then: of labels as they were given, right or wrong.

    References
    ----------
    Ioffe, Szegedy, "Batch Normalization", ICML 2015. Srivastava et al., "Dropout", JMLR 2014.
    Loshchilov, Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    Smith, Topin, "Super-Convergence", 2018.
    Polyak, Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim., 1992.
    """

    hidden_layer_sizes: list[int] = param([512] + [256] * 5, ge=1)
    dropout: float = param(0.25, ge=0, lt=1)
    learning_rate: float = param(2e-3, gt=0)
    weight_decay: float = param(1e-2, ge=0)
    averaging: float = param(0.998, ge=0, lt=1)
    batch_size: int = param(256, ge=2)
    min_epoch_steps: int = param(50, ge=1)
    max_epochs: int = param(40, ge=1)
    patience: int = param(4, ge=1)
    validation_fraction: float = param(0.1, gt=0, lt=1)
    random_state: int = 0

    def __post_init__(self) -> None:
        check(self)

    def fit(
        self,
        X: Array,
        y: Array,
        groups: Array | None = None,
        on_progress: Callable[[int, int, str], None] | None = None,
    ) -> "MLPClassifier":
        """Fit to (n, d) points and their (n,) labels.

        Parameters
        ----------
        groups : (n,) int array, optional
            Points of one group are held out together: the copies of one bought label must not stand on both sides.
        on_progress : callable, optional
            Called after each epoch with the epochs run, the epochs there are at most, and a note.
        """
        to_numpy = backend.of(X).to_numpy
        self.classes_, encoded = np.unique(to_numpy(y), return_inverse=True)
        features = _tensor(X)
        labels = torch.as_tensor(encoded, device=features.device)
        train, held_out = _split(
            np.arange(len(encoded)) if groups is None else to_numpy(groups),
            self.validation_fraction,
            seeds.generator(self.random_state, "validation"),
        )
        with torch.random.fork_rng(devices=[features.device] if features.is_cuda else []):
            torch.manual_seed(seeds.derive(self.random_state, "torch"))
            self.network_ = _network(features.shape[1], self.hidden_layer_sizes, len(self.classes_), self.dropout)
            self.network_.to(features.device)
            self._train(features, labels, train, held_out, on_progress)
        return self

    def predict(self, X: Array) -> Array:
        """(n, d) -> (n,) classes, where `X` is. ValueError if d is not what the model was fitted to."""
        features, expected = _tensor(X), next(self.network_.parameters()).shape[1]
        if features.ndim != 2 or features.shape[1] != expected:
            raise ValueError(f"X: expected shape (n, {expected}), found {tuple(features.shape)}")
        best = _scores(self.network_.to(features.device), features).argmax(dim=1)
        twin = backend.of(X)
        return twin.asarray(self.classes_)[twin.asarray(best)]

    def pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arrays and the other values that `unpack` makes the fitted model of."""
        weights = {name: weight.detach().cpu().numpy() for name, weight in self.network_.state_dict().items()}
        fitted = {name: getattr(self, name) for name in ("n_iter_", "best_epoch_", "validation_score_")}
        return {"classes_": self.classes_, **weights}, {"params": self.get_params(), "fitted": fitted}

    @classmethod
    def unpack(cls, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> "MLPClassifier":
        """The inverse of `pack`."""
        model = cls(**values["params"])
        for name, value in values["fitted"].items():
            setattr(model, name, value)
        model.classes_ = arrays.pop("classes_")
        n_features = arrays["0.weight"].shape[1]
        model.network_ = _network(n_features, model.hidden_layer_sizes, len(model.classes_), model.dropout)
        model.network_.load_state_dict({name: torch.as_tensor(array) for name, array in arrays.items()})
        return model

    def _train(
        self,
        features: Tensor,
        labels: Tensor,
        train: np.ndarray,
        held_out: np.ndarray,
        on_progress: Callable[[int, int, str], None] | None,
    ) -> None:
        """Run epochs until there is no gain, and put the best epoch's averaged weights into `network_`."""
        indices = torch.as_tensor(train, device=features.device)
        validation = torch.as_tensor(held_out, device=features.device)
        average = AveragedModel(self.network_, use_buffers=True)
        optimizer, schedule = self._optimizer(len(indices))
        step, self.best_epoch_, self.validation_score_, best_weights = 0, 0, -1.0, {}
        for epoch in range(1, self.max_epochs + 1):
            self.network_.train()
            for batch in self._epoch_batches(indices):
                loss = nn.functional.cross_entropy(self.network_(features[batch]), labels[batch])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                step += 1
                average.multi_avg_fn = get_ema_multi_avg_fn(min(self.averaging, (1 + step) / (10 + step)))
                average.update_parameters(self.network_)
            predicted = _scores(average.module, features[validation]).argmax(dim=1)
            score = float((predicted == labels[validation]).float().mean())
            self.n_iter_ = epoch
            if score > self.validation_score_:
                self.best_epoch_, self.validation_score_ = epoch, score
                best_weights = {name: weight.clone() for name, weight in average.module.state_dict().items()}
            if on_progress is not None:
                on_progress(epoch, self.max_epochs, f"held-out accuracy {score:.1%}")
            if epoch - self.best_epoch_ >= self.patience:
                break
        self.network_.load_state_dict(best_weights)

    def _optimizer(self, n: int) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        """AdamW and its learning rates for all epochs over n training points."""
        optimizer = torch.optim.AdamW(
            self.network_.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True
        )
        n_batches, n_passes = self._epoch_size(n)
        n_steps = self.max_epochs * n_passes * n_batches
        return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=n_steps)

    def _epoch_size(self, n: int) -> tuple[int, int]:
        """Batches in a pass over n training points, and passes in an epoch."""
        n_batches = n // min(self.batch_size, n)
        return n_batches, -(-self.min_epoch_steps // n_batches)

    def _epoch_batches(self, indices: Tensor) -> Iterator[Tensor]:
        """Shuffled batches of one epoch, all of one size: a last short one would upset the normalisation."""
        n_batches, n_passes = self._epoch_size(len(indices))
        batch_size = min(self.batch_size, len(indices))
        for _ in range(n_passes):
            shuffled = indices[torch.randperm(len(indices), device=indices.device)]
            yield from shuffled[: n_batches * batch_size].split(batch_size)


class ByteDropout(nn.Module):
    """Dropout that draws eight units from one random 64-bit number.

    `torch.nn.Dropout` draws a number for each unit, and on a CPU takes nearly half of the time of a step of this
    network for it. The share dropped is rounded to a multiple of 1/256, and what is kept is scaled by what that is.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.threshold = min(round(256 * p), 255)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width) -> (n, width)."""
        if not self.training or self.threshold == 0:
            return x
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= self.threshold
        return x * kept * (256 / (256 - self.threshold))


def _network(n_features: int, hidden: list[int], n_classes: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in hidden:
        # no bias: the normalisation that follows would take it away again
        layers += [nn.Linear(n_features, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(), ByteDropout(dropout)]
        n_features = width
    return nn.Sequential(*layers, nn.Linear(n_features, n_classes))


def _split(groups: np.ndarray, fraction: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions to learn from and positions held out, with no group on both sides.

    With fewer than three groups there is none to spare: both sides are everything.
    """
    names, group_of = np.unique(groups, return_inverse=True)
    if len(names) < 3:
        return np.arange(len(groups)), np.arange(len(groups))
    n_held_out = min(max(1, round(fraction * len(names))), len(names) - 2)
    is_held_out = np.zeros(len(names), dtype=bool)
    is_held_out[rng.permutation(len(names))[:n_held_out]] = True
    return np.flatnonzero(~is_held_out[group_of]), np.flatnonzero(is_held_out[group_of])


def _scores(network: nn.Module, features: Tensor) -> Tensor:
    """(n, d) -> (n, n_classes) scores, learning nothing."""
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(block) for block in features.split(PREDICT_ROWS)])


def _tensor(X: Array) -> Tensor:
    """An array as a float32 tensor on the device it is on: the same memory if it can be."""
    xp = array_namespace(X)
    X = xp.astype(X, xp.float32, copy=False)
    try:
        return torch.from_dlpack(X)
    except BufferError:  # memory that may not be written to, as of a memory-mapped file
        return torch.from_dlpack(xp.asarray(X, copy=True))
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(
            f"classifier: expected a PyTorch that works on {type(X).__module__} arrays, found {torch.__version__} "
            f"({str(error).splitlines()[0]}); install gpussl[gpu], or use device=cpu"
        ) from error
