"""Tensors: from arrays to PyTorch's, where they are, and what all networks do with them."""

import contextlib
import copy
import functools
import gc
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from array_api_compat import array_namespace
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from gpussl import backend, seeds
from gpussl.errors import ConfigError, DeviceError
from gpussl.records import Array

BLOCK_ROWS = 1024  # of one forward pass when nothing is learnt: a convolution makes 100,000 values of each
BLOCK_PIXELS = 2**19  # of images that are changed or looked at at once: eight directions of each are 16 MiB
WARM_UPS = 3  # calls before a graph is captured, in which libraries ask for what they keep


def as_tensor(X: Array) -> Tensor:
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


def multiplies_bfloat16(device: str) -> bool:
    """Whether a kind of device, "cpu" or "cuda", multiplies bfloat16 faster than float32."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def batch_multiple(device: str) -> int:
    """The number that the size of a batch should be a multiple of, where it may be any.

    On a GPU each size that has not been before is planned anew by cuDNN, for longer than the step takes.
    """
    return 32 if device == "cuda" else 1


def fast_products(device: str) -> torch.autocast:
    """A context in which a kind of device multiplies in the precision that is faster; weights and sums are float32."""
    return torch.autocast(device, torch.bfloat16, multiplies_bfloat16(device), cache_enabled=False)  # for `Captured`


@contextlib.contextmanager
def seeded(like: Tensor, seed: int) -> Iterator[None]:
    """A context in which a seed makes PyTorch's random numbers, where a tensor is, and no others are disturbed."""
    if like.is_cuda:
        _wake_backward(like.device)
    with torch.random.fork_rng(devices=[like.device] if like.is_cuda else []):
        torch.manual_seed(seeds.derive(seed, "torch"))
        yield


@functools.cache
def _wake_backward(device: torch.device) -> None:
    """Give the thread of the backward pass a CUDA context: cuBLAS warns where it is the first there to need one."""
    x = torch.ones(1, device=device, requires_grad=True)
    (x * x).sum().backward()


class Captured:
    """A function of tensors, on a GPU as graphs of kernels that are started as a whole: one for each of their shapes.

    There a step of a small network is over before the host has started its kernels one by one.

    Parameters
    ----------
    work : callable
        It must always do the same to tensors that stay where they are: its arguments, which are copied to one place,
        and whatever else it reads or writes. If it makes gradients, those are the last captured graph's: for arguments
        of several shapes there must be some before, which it sets to nought. What it answers is overwritten by the next
        call with the same shapes.
    network : torch.nn.Module
        What it changes besides gradients: left as it was by the calls that capturing takes.
    """

    def __init__(self, work: Callable[..., Any], network: nn.Module) -> None:
        self.work, self.network = work, network
        self._replays: dict[tuple[torch.Size, ...], Callable[..., Any]] = {}

    def __call__(self, *arguments: Tensor) -> Any:
        if not arguments[0].is_cuda:
            return self.work(*arguments)
        shapes = tuple(argument.shape for argument in arguments)
        if shapes not in self._replays:
            self._replays[shapes] = self._capture(arguments)
        return self._replays[shapes](*arguments)

    def _capture(self, arguments: tuple[Tensor, ...]) -> Callable[..., Any]:
        before, static = copy.deepcopy(self.network.state_dict()), [argument.clone() for argument in arguments]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self.work(*static)
        torch.cuda.current_stream().wait_stream(stream)
        self.network.load_state_dict(before)  # in place
        graph = torch.cuda.CUDAGraph()
        with _no_garbage_collected(), torch.cuda.graph(graph, capture_error_mode="thread_local"):
            answer = self.work(*static)

        def replay(*arguments: Tensor) -> Any:
            for place, argument in zip(static, arguments, strict=True):
                place.copy_(argument)
            graph.replay()
            return answer

        return replay


@contextlib.contextmanager
def _no_garbage_collected() -> Iterator[None]:
    """A context in which no array dies of old age: CUDA may not be asked to free memory while a graph is captured."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class RunningAverage:
    """The running average of a network's weights and buffers.

    The first are taken as they are. The decay begins lower than it is to be, so that the average spans about the last
    tenth of the steps until then.

    Parameters
    ----------
    network : torch.nn.Module
        Of which `module` is a copy, with averages. Its weights and buffers are changed in place.
    decay : float
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.module, self.decay, self.n_steps = copy.deepcopy(network), decay, 0
        self._averages, self._values = _floating(self.module), _floating(network)

    @torch.no_grad()
    def update(self) -> None:
        """Take in what the weights are after one more step."""
        self.n_steps += 1
        if self.n_steps == 1:
            for average, value in zip(self._averages, self._values, strict=True):
                average.copy_(value)
        else:
            decay = min(self.decay, (1 + self.n_steps) / (10 + self.n_steps))
            get_ema_multi_avg_fn(decay)(self._averages, self._values, None)


def _floating(network: nn.Module) -> list[Tensor]:
    """The weights and buffers of a network, less counters."""
    return [tensor for tensor in (*network.parameters(), *network.buffers()) if tensor.is_floating_point()]


def forward(network: nn.Module, features: Tensor) -> Tensor:
    """(n, d) -> (n, ...): what a network makes of each, learning nothing, a block at a time."""
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(block) for block in _blocks(features)])


class Images(nn.Module):
    """(n, d) pixels, channels last -> (n, channels, height, width), the same memory.

    Raises
    ------
    ConfigError
        As in `image_shape_of`.
    """

    def __init__(self, n_features: int, image_shape: list[int]) -> None:
        super().__init__()
        self.height, self.width, self.channels = image_shape_of(n_features, image_shape)

    def forward(self, points: Tensor) -> Tensor:
        """(n, d) -> (n, channels, height, width)."""
        return points.view(len(points), self.height, self.width, self.channels).movedim(3, 1)


def as_points(images: Tensor) -> Tensor:
    """(n, channels, height, width) images -> (n, d) pixels, channels last: the inverse of `Images`."""
    return images.movedim(1, 3).flatten(1)


def image_shape_of(n_features: int, image_shape: list[int]) -> tuple[int, int, int]:
    """Height, width and channels of images of so many values: as given, or of a square in one channel.

    Raises
    ------
    ConfigError
        The values are not as many.

    Examples
    --------
    >>> image_shape_of(64, []), image_shape_of(24, [2, 4, 3])
    ((8, 8, 1), (2, 4, 3))
    """
    side = math.isqrt(n_features)
    height, width, channels = [*image_shape, 1][:3] if image_shape else (side, side, 1)
    if height * width * channels != n_features:
        found = f"{' x '.join(map(str, image_shape))} pixels" if image_shape else "no square"
        raise ConfigError(
            f"expected images, whose pixels are the features, found {n_features} features and {found}; choose "
            "represent=[pixels] or features=pixels, put what needs images first in represent, or choose what needs none"
        )
    return height, width, channels


def map_images(X: Array, image_shape: list[int], change: Callable[[Tensor], Tensor]) -> Array:
    """(n, d) pixels -> (n, k): what a function makes of (m, channels, height, width) images, a block at a time.

    A module goes to where the images are.

    Raises
    ------
    ConfigError
        As in `image_shape_of`.
    """
    with torch.inference_mode():
        images = Images(X.shape[1], image_shape)(as_tensor(X))
        if isinstance(change, nn.Module):
            change.to(images.device)
        made = torch.cat([change(block).flatten(1) for block in _blocks(images)])
    return backend.of(X).asarray(made)


def _blocks(points: Tensor) -> tuple[Tensor, ...]:
    """(n, ...) in blocks of (m, ...), fewer where each is large."""
    n_values = math.prod(points.shape[1:])
    return points.split(max(1, min(BLOCK_ROWS, BLOCK_PIXELS // max(1, n_values))))
