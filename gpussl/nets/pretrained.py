"""Networks that others have trained, as functions of image tensors: from an ONNX file, or by a name in timm."""

import difflib
import functools
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gpussl.errors import ConfigError
from gpussl.runtime.names import expanded

DEFAULT_SIZE = 224  # pixels, where an ONNX file leaves height and width open
ONNX = "onnx"  # key of the bytes of an ONNX file among the arrays
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, where a model does not say


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A trained network in the form in which it is saved.

    Attributes
    ----------
    arrays : dict of str to array
        The parameters of a timm model by name, or the bytes of an ONNX file.
    architecture : str
        The name in timm; "onnx" for an ONNX file.
    size : list of int
        Height and width of its input.
    channels : int
        1 or 3.
    mean, std : list of float
        Of each channel, for pixels from 0 to 1.

    Examples
    --------
    >>> Pretrained({}, ONNX, [224, 224], channels=3, mean=list(MEAN), std=list(STD)).size
    [224, 224]
    """

    arrays: dict[str, np.ndarray] = field(repr=False)
    architecture: str
    size: list[int]
    channels: int
    mean: list[float]
    std: list[float]

    @functools.cached_property
    def network(self) -> Callable[[Tensor], Tensor]:
        """The function from (n, channels, height, width) images to (n, k) features, on their device."""
        if self.architecture == ONNX:
            return _pooled(_OnnxNetwork(self.arrays[ONNX].tobytes()))
        model = _timm_model(self.architecture)
        model.load_state_dict({name: torch.as_tensor(array) for name, array in self.arrays.items()})
        return _pooled(model.eval())


def load(model: str, weights: str | None, size: int | None) -> Pretrained:
    """Load a trained network.

    Parameters
    ----------
    model : str
        Path of an ONNX file with one input, images of shape (n, channels, height, width); its first output counts. Or
        the name of a model of timm.
    weights : str or None
        safetensors file of a timm model's parameters; None for those on the Hugging Face hub and in its local cache.
    size : int or None
        Height and width of the input, if the network takes several: by default 224, or what the model was trained on.

    Raises
    ------
    ConfigError
        There is no such network, the library that it needs is not installed, or `weights` or `size` do not suit it.

    Examples
    --------
    >>> load("missing.onnx", None, None)
    Traceback (most recent call last):
    gpussl.errors.ConfigError: represent.embedding.model: expected an ONNX file, found missing.onnx (No such file or
        directory)
    """
    if not model:
        raise ConfigError(
            "represent.embedding.model: expected the path of an ONNX file or the name of a model of timm, found none; "
            "set it with represent.embedding.model=..."
        )
    if not model.lower().endswith(".onnx"):
        return _from_timm(model, weights, size)
    try:
        content = expanded(model).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"represent.embedding.model: expected an ONNX file, found {model} ({error.strerror})"
        ) from error
    return _from_onnx(content, size)


def _from_onnx(content: bytes, size: int | None) -> Pretrained:
    inputs = _session(content, "cpu").get_inputs()
    shape = list(inputs[0].shape) if inputs else []
    if len(inputs) != 1 or len(shape) != 4 or inputs[0].type != "tensor(float)" or shape[1] not in (1, 3):
        found = "; ".join(f"{one.name} {one.type} {one.shape}" for one in inputs) or "none"
        raise ConfigError(
            "represent.embedding.model: expected a network with one input, float images (n, 1 or 3, height, width), "
            f"found {found}"
        )
    sides = [side if isinstance(side, int) else size or DEFAULT_SIZE for side in shape[2:]]
    if size is not None and sides != [size, size]:
        raise ConfigError(
            f"represent.embedding.size: expected {' x '.join(map(str, sides))}, the input of the network, found {size}"
        )
    n = shape[1]
    mean, std = (list(MEAN), list(STD)) if n == 3 else ([sum(MEAN) / 3], [sum(STD) / 3])
    return Pretrained({ONNX: np.frombuffer(content, dtype=np.uint8)}, ONNX, sides, n, mean, std)


def _from_timm(name: str, weights: str | None, size: int | None) -> Pretrained:
    from safetensors.torch import load_file

    timm = _library("timm")
    model = _timm_model(name)
    path = expanded(weights) if weights is not None else _from_hub(timm, name)
    try:
        found = load_file(path)
    except Exception as error:  # whatever the library raises for a file that is missing or another
        raise ConfigError(
            f"represent.embedding.weights: expected a safetensors file, found {path} ({str(error).splitlines()[0]})"
        ) from error
    wanted = model.state_dict()  # of the network without its classifier
    unfit = [key for key, value in wanted.items() if key not in found or found[key].shape != value.shape]
    if unfit:
        raise ConfigError(
            f"represent.embedding.weights: expected the parameters of {name}, found a file without {unfit[0]} of shape "
            f"{tuple(wanted[unfit[0]].shape)}; name the file of this model"
        )
    form = timm.data.resolve_model_data_config(model)
    channels, height, width = form["input_size"]
    sides = [height, width] if size is None else [size, size]
    arrays = {key: found[key].to(value.dtype).numpy() for key, value in wanted.items()}
    return Pretrained(arrays, name, sides, channels, list(form["mean"]), list(form["std"]))


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"represent=embedding: expected the library {name}, found none ({error}); install gpussl[embed]"
        ) from error
    except RuntimeError as error:
        raise ConfigError(
            f"represent=embedding: expected a torchvision for the installed PyTorch, found another ({error}); for a "
            "CPU build: pip install --force-reinstall --no-deps torchvision --index-url https://download.pytorch.org/whl/cpu"
        ) from error


def _timm_model(name: str) -> Any:
    """An untrained model of timm without its classifier."""
    timm = _library("timm")
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, timm.list_models(), n=3)
        hint = f"such as {', '.join(close)}" if close else "see timm.list_pretrained()"
        raise ConfigError(
            f"represent.embedding.model: expected an ONNX file or the name of a model of timm, found {name!r}; {hint}"
        )
    try:
        return timm.create_model(name, pretrained=False, num_classes=0)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ConfigError(
            f"represent.embedding.model: expected a model of timm, found {name!r} ({str(error).splitlines()[0]})"
        ) from error


def _from_hub(timm: ModuleType, name: str) -> Path:
    """The path of a model's weights, which are downloaded if the user's cache lacks them."""
    hub = _library("huggingface_hub")
    form = timm.get_pretrained_cfg(name)
    if form is None or not form.hf_hub_id:
        raise ConfigError(
            f"represent.embedding.weights: expected a safetensors file, found none; {name} has no weights on the hub"
        )
    repo = form.hf_hub_id
    if repo.endswith("/"):  # timm's short form, of an organisation alone
        repo += f"{form.architecture}.{form.tag}"
    try:
        return Path(hub.hf_hub_download(repo, "model.safetensors"))
    except Exception as error:  # whatever the network and the hub raise
        raise ConfigError(
            f"represent.embedding.weights: expected model.safetensors of {repo} in the cache or on the hub, found "
            f"neither ({type(error).__name__}); download it elsewhere, and name the file"
        ) from error


class _OnnxNetwork:
    """A network that ONNX Runtime runs on the device of its input."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.sessions: dict[str, Any] = {}

    def __call__(self, images: Tensor) -> Tensor:
        device = "cuda" if images.is_cuda and _has_cuda() else "cpu"
        if device not in self.sessions:
            self.sessions[device] = _session(self.content, device)
        session = self.sessions[device]
        batch = images.float().to(device).contiguous()
        bound = session.io_binding()
        bound.bind_input(session.get_inputs()[0].name, device, 0, np.float32, tuple(batch.shape), batch.data_ptr())
        bound.bind_output(session.get_outputs()[0].name)
        session.run_with_iobinding(bound)
        # by way of the host, for the shape is known only now: some thousand bytes an image
        return torch.as_tensor(bound.copy_outputs_to_cpu()[0]).to(images.device)


def _session(content: bytes, device: str) -> Any:
    runtime = _library("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    first = ["CUDAExecutionProvider"] if device == "cuda" else []
    try:
        return runtime.InferenceSession(content, options, providers=[*first, "CPUExecutionProvider"])
    except Exception as error:  # kinds of its own, for files that are none and for operators that it lacks
        raise ConfigError(
            f"represent.embedding.model: expected an ONNX file, found another ({str(error).splitlines()[0]})"
        ) from error


def _has_cuda() -> bool:
    return "CUDAExecutionProvider" in _library("onnxruntime").get_available_providers()


def _pooled(network: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The network with an output of shape (n, k): the mean of a map (n, k, h, w), the first of tokens (n, t, k)."""

    def run(images: Tensor) -> Tensor:
        if isinstance(network, torch.nn.Module):
            network.to(images.device)
        made = network(images).float()
        if made.ndim == 4:
            return made.mean(dim=(2, 3))
        return made[:, 0] if made.ndim == 3 else made.flatten(1)

    return run


def resized(images: Tensor, size: Sequence[int]) -> Tensor:
    """Scale (n, channels, height, width) images to a size.

    >>> resized(torch.ones(1, 1, 4, 4), [2, 2]).shape
    torch.Size([1, 1, 2, 2])
    """
    if list(images.shape[2:]) == list(size):
        return images
    return torch.nn.functional.interpolate(images, list(size), mode="bicubic", antialias=True)
