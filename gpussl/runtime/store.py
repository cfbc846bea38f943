"""Store: artifacts on disk, written whole or not at all and never pickled, and the cache of stages made of them.

An artifact is one safetensors file: its arrays, and under the metadata key "gpussl" a JSON object with its kind and all
that is not an array.
"""

import contextlib
import dataclasses
import hashlib
import importlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import save as to_safetensors

from gpussl import backend
from gpussl.errors import ConfigError, StoreError
from gpussl.runtime import console

METADATA_KEY = "gpussl"
# What a file may say it is. A file names a kind, never a class to import.
KINDS = {
    "clustering": "gpussl.records:Clustering",
    "pseudo_labels": "gpussl.records:PseudoLabels",
    "logistic_regression": "gpussl.classifier.logistic:LogisticRegression",
    "model": "gpussl.classifier.model:Model",
    "pca": "gpussl.represent.pca:FittedPCA",
    "pixels": "gpussl.represent.pixels:Pixels",
    "represented": "gpussl.features.represented:Represented",
    "hog": "gpussl.represent.hog:HOG",
    "deskew": "gpussl.represent.deskew:Deskew",
    "umap": "gpussl.represent.umap:FittedUMAP",
    "autoencoder": "gpussl.represent.autoencoder:FittedAutoencoder",
    "centroid_distances": "gpussl.features.centroid_distances:FittedCentroidDistances",
    "xgboost_test_stopped": "gpussl.studies.xgboost_test_stopped:TestStoppedXGBClassifier",
    "convnet": "gpussl.classifier.convnet:ConvNetClassifier",
    "mlp": "gpussl.classifier.mlp:MLPClassifier",
    "self_training": "gpussl.classifier.self_training:SelfTrainingMLPClassifier",
    "study_convnet": "gpussl.studies.study_convnet:StudyConvNet",
    "knn": "gpussl.classifier.knn:KNeighborsClassifier",
    "xgboost": "gpussl.classifier.xgboost:XGBClassifier",
}


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` if the block succeeds, and is gone if it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())  # mkstemp makes files that no one else can read
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def save(path: str | Path, artifact: Any) -> None:
    """Write a record or a fitted model to one file that `load` reads again. The same artifact gives the same bytes."""
    kind = _kind(artifact)
    arrays, values = artifact.pack() if hasattr(artifact, "pack") else _pack_record(artifact)
    on_host = {name: np.asarray(backend.of(array).to_numpy(array), order="C") for name, array in arrays.items()}
    # one metadata key, for safetensors writes several in no fixed order
    metadata = {METADATA_KEY: json.dumps({"kind": kind, "values": values}, sort_keys=True)}
    with atomic_path(Path(path)) as part:
        part.write_bytes(to_safetensors(on_host, metadata))


def load(path: str | Path) -> Any:
    """Read what `save` wrote: a `Clustering`, `PseudoLabels` or a fitted model, its arrays on the host.

    A model works on the device of the array it is given.

    Raises
    ------
    StoreError
        The file is missing, broken, or not one of gpussl's.
    """
    if Path(path).is_dir():
        raise StoreError(f"{path}: expected a file, found a folder; name one of the .safetensors files in it")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        described = json.loads(metadata[METADATA_KEY])
        module, name = KINDS[described["kind"]].split(":")
        cls = getattr(importlib.import_module(module), name)
        values = described["values"]
        return cls.unpack(arrays, values) if hasattr(cls, "unpack") else cls(**arrays, **values)
    except OSError as error:
        raise StoreError(f"{path}: expected a readable artifact of gpussl, found: {error}") from error
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, RuntimeError, ConfigError) as error:
        raise StoreError(
            f"{path}: expected an artifact that gpussl saved, found something else ({type(error).__name__}: {error})"
        ) from error


@dataclasses.dataclass(frozen=True)
class Fetched:
    """What `Cache.fetch` answers: the value, the seconds it took to compute when it was computed, and whether that was
    now or in an earlier run."""

    value: Any
    seconds: float
    cached: bool


class Cache:
    """Artifacts by what they depend on, so that work is done once over runs and sweeps.

    Parameters
    ----------
    folder : Path or None
        None: nothing is kept.
    depends_on : dict
        What everything here depends on: versions, device.
    """

    def __init__(self, folder: Path | None, depends_on: dict[str, Any]) -> None:
        self._folder = folder
        self._depends_on = depends_on

    def fetch(self, stage: str, depends_on: dict[str, Any], compute: Callable[[], Any]) -> Fetched:
        """The artifact of a stage, computed only if no run has computed it from the same `depends_on` before.

        `depends_on` must hold, as JSON, everything that the result depends on: settings, seed, sums of the inputs.
        """
        key = json.dumps({"stage": stage, **self._depends_on, **depends_on}, sort_keys=True)
        name = hashlib.sha256(key.encode()).hexdigest()
        if self._folder is None:
            return _timed(compute)
        path = self._folder / stage / f"{name}.safetensors"
        note = path.with_suffix(".json")
        if path.is_file() and note.is_file():
            try:
                return Fetched(load(path), json.loads(note.read_text())["seconds"], cached=True)
            except (StoreError, OSError, KeyError, TypeError, ValueError) as error:
                console.say(f"cache: {error}; computing it again")
        fetched = _timed(compute)
        try:
            write_text(note, json.dumps({"seconds": fetched.seconds, "depends_on": json.loads(key)}, indent=1))
            save(path, fetched.value)
        except OSError as error:
            console.say(f"cache: {path} could not be written ({error.strerror}); going on without")
        return fetched


def check_savable(cls: type) -> None:
    pass


def pack(artifact: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    return _kind(artifact), *(artifact.pack() if hasattr(artifact, "pack") else _pack_record(artifact))


def unpack(kind: str, arrays: dict[str, Any], values: dict[str, Any]) -> Any:
    module, name = KINDS[kind].split(":")
    cls = getattr(importlib.import_module(module), name)
    return cls.unpack(arrays, values) if hasattr(cls, "unpack") else cls(**arrays, **values)


def digest(*arrays: Any) -> str:
    """sha256 of arrays' values, types and shapes, wherever they are."""
    total = hashlib.sha256()
    for array in arrays:
        on_host = np.asarray(backend.of(array).to_numpy(array), order="C")
        total.update(f"{on_host.dtype.str}{on_host.shape}".encode())
        total.update(on_host.data)
    return total.hexdigest()


def _timed(compute: Callable[[], Any]) -> Fetched:
    start = time.perf_counter()
    value = compute()
    return Fetched(value, time.perf_counter() - start, cached=False)


def _kind(artifact: Any) -> str:
    name = f"{type(artifact).__module__}:{type(artifact).__name__}"
    return next((kind for kind, cls in KINDS.items() if cls == name), getattr(artifact, "kind", ""))


def _pack_record(record: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    arrays = {name: value for name, value in fields.items() if hasattr(value, "shape")}
    return arrays, {name: value for name, value in fields.items() if name not in arrays}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
