"""An autoencoder in PyTorch that trains on the device of its data."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gpussl import backend
from gpussl.nets.tensors import as_tensor, fast_products, forward, seeded
from gpussl.numeric.rows import in_memory
from gpussl.protocols import Representation, Transform
from gpussl.records import Array, OnProgress
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class Autoencoder(Representation):
    """The code of a denoising autoencoder, a network that reconstructs its input through a narrow layer.

    The encoder has linear layers with ReLU between them, down to `n_components`; the decoder mirrors it. Both are
    trained on the squared error with Adam and a one-cycle learning rate.

    Parameters
    ----------
    n_components : int
        Width of the narrow layer.
    hidden_layer_sizes : list of int
        Widths of the encoder's hidden layers.
    noise : float
        Share of a point's features set to 0 in the input during training.
    learning_rate : float
        Peak of the cycle.
    batch_size : int
    max_epochs : int

    References
    ----------
    Hinton, Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science, 2006.
    Vincent et al., "Extracting and composing robust features with denoising autoencoders", ICML 2008.

    Examples
    --------
    >>> X = np.eye(6, dtype=np.float32)
    >>> fitted = Autoencoder(n_components=2, hidden_layer_sizes=[4], max_epochs=1).fit(X, seed=0)
    >>> fitted.transform(X).shape
    (6, 2)
    """

    is_costly: ClassVar[bool] = True
    n_components: int = param(10, ge=1)
    hidden_layer_sizes: list[int] = param([500, 500, 2000], ge=1)
    noise: float = param(0.2, ge=0, lt=1)
    learning_rate: float = param(2e-3, gt=0)
    batch_size: int = param(256, ge=1)
    max_epochs: int = param(30, ge=1)

    def __post_init__(self) -> None:
        check(self)

    def fit(self, X: Array, seed: int, on_progress: OnProgress | None = None) -> "FittedAutoencoder":
        """Train on (n, d) points. Raise ConfigError if they exceed the memory limit of `ScaledRows`."""
        points = as_tensor(in_memory(X, "represent=autoencoder", "leave it out"))
        with seeded(points, seed):
            encoder, decoder = self._build(points.shape[1], points.device)
            self._train(encoder, decoder, points, on_progress)
        return FittedAutoencoder(
            {name: weights.detach().cpu().numpy() for name, weights in encoder.state_dict().items()}
        )

    def _build(self, n_features: int, device: torch.device) -> tuple[nn.Sequential, nn.Sequential]:
        """The untrained encoder and decoder."""
        widths = [n_features, *self.hidden_layer_sizes, self.n_components]
        return _layers(widths).to(device), _layers(widths[::-1]).to(device)

    def _train(
        self, encoder: nn.Sequential, decoder: nn.Sequential, points: Tensor, on_progress: OnProgress | None
    ) -> None:
        network = nn.Sequential(nn.Dropout(self.noise), encoder, decoder)
        n_batches = -(-len(points) // self.batch_size)
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.learning_rate, total_steps=self.max_epochs * n_batches
        )
        for epoch in range(self.max_epochs):
            total = torch.zeros((), device=points.device)
            for rows in torch.randperm(len(points), device=points.device).split(self.batch_size):
                batch = points[rows]
                with fast_products(points.device.type):
                    restored = network(batch)
                loss = nn.functional.mse_loss(restored.float(), batch)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.detach()
            if on_progress is not None:
                on_progress(epoch + 1, self.max_epochs, f"mean squared error {float(total) / n_batches:.4f}")


@dataclass(frozen=True, eq=False)
class FittedAutoencoder(Transform):
    """The trained encoder: the parameters of its linear layers by name, on the host.

    Examples
    --------
    >>> weights = {"0.weight": np.array([[0.5, 0.5]], dtype=np.float32), "0.bias": np.zeros(1, dtype=np.float32)}
    >>> FittedAutoencoder(weights).transform(np.array([[2.0, 4.0]])).tolist()
    [[3.0]]
    """

    kind: ClassVar[str] = "autoencoder"
    weights: dict[str, np.ndarray]

    def transform(self, X: Array) -> Array:
        """Map (n, d) points to (n, n_components)."""
        points = as_tensor(in_memory(X, "represent=autoencoder", "leave it out"))
        matrices = [weights for weights in self.weights.values() if weights.ndim == 2]
        encoder = _layers([matrices[0].shape[1], *(matrix.shape[0] for matrix in matrices)])
        encoder.load_state_dict({name: torch.as_tensor(weights) for name, weights in self.weights.items()})
        return backend.of(X).asarray(forward(encoder.to(points.device), points))

    def pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the arrays and the other values from which `unpack` restores the encoder."""
        return dict(self.weights), {}

    @classmethod
    def unpack(cls, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> "FittedAutoencoder":
        """The inverse of `pack`."""
        return cls(dict(sorted(arrays.items(), key=lambda item: int(item[0].split(".")[0]))))


def _layers(widths: list[int]) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
