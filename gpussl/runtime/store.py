"""Artifacts on disk, written atomically and without pickles, and the cache of stages, made of artifacts.

An artifact is one safetensors file with its arrays. A JSON object under the metadata key "gpussl" has its kind, its
other values, and the SHA-256 of arrays and object.

A kind is mapped to a class by convention, so a file cannot name a module to import, and a new stage needs no entry
here: the class with the attribute `kind: ClassVar[str] = "mlp"` is in the module `mlp` of `gpussl.classifier`, or of
another of `GROUPS`. The class of a plugin has the kind "module:Class" and is found only if `plugins.allow` has imported
its module.
"""

import contextlib
import csv
import dataclasses
import fcntl
import hashlib
import importlib
import importlib.util
import io
import json
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import save as to_safetensors

from gpussl import backend
from gpussl.errors import ConfigError, StoreError
from gpussl.records import Clustering, Neighbors, Points, PseudoLabels
from gpussl.runtime import console
from gpussl.runtime.plugins import allow, is_allowed

METADATA_KEY = "gpussl"
RECORDS: dict[str, type] = {
    "clustering": Clustering,
    "neighbors": Neighbors,
    "points": Points,
    "pseudo_labels": PseudoLabels,
}
# packages that are searched for a kind, in this order
GROUPS = ("classifier", "represent", "features", "data", "studies")
ALIASES = {"logistic_regression": "logistic"}  # kinds with a module of another name
PLAIN = re.compile("[a-z][a-z0-9_]*")
PART = ".gpussl-part"  # suffix of temporary files


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`. It is renamed to `path` if the block succeeds, and removed if it fails.

    Temporary files of killed processes in the same folder are removed as well.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder) / "a.txt") as part:
    ...         _ = part.write_text("all of it")
    ...     [(item.name, item.read_text()) for item in Path(folder).iterdir()]
    [('a.txt', 'all of it')]
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path.parent)
    part, handle = _create_part(path.parent)
    try:
        yield part
        os.fsync(handle)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
        os.close(handle)


def write_csv(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write a CSV file, with names of files that are no UTF-8 byte for byte.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_csv(Path(folder, "a.csv"), [("id", "label"), ("a.png", "cat")])
    ...     Path(folder, "a.csv").read_text()
    'id,label\\na.png,cat\\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    with atomic_path(path) as part:
        part.write_bytes(text.getvalue().encode("utf-8", errors="surrogateescape"))


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically. StoreError if it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text(Path(folder) / "a.txt", "text")
    ...     (Path(folder) / "a.txt").read_text()
    'text'
    """
    with _writing(path):
        _write(path, text.encode())


def save(path: str | Path, artifact: Any) -> None:
    """Write a record or a fitted model to a file for `load`. Equal artifacts give equal bytes.

    Parameters
    ----------
    path : str or Path
        An existing file is replaced; missing folders are created.
    artifact : object
        An object of a class that `check_savable` accepts, with arrays on any device.

    Raises
    ------
    ConfigError
        The class cannot be saved.
    StoreError
        The file cannot be written, or the artifact holds something other than arrays of numbers and JSON.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/a.safetensors", PseudoLabels(np.array([3, -1]), np.array([0, -1])))
    ...     load(f"{folder}/a.safetensors").labels
    array([ 3, -1])
    """
    path = Path(path)
    with _writing(path):
        _write(path, _to_bytes(path, artifact))


def load(path: str | Path, plugins: Sequence[str] = ()) -> Any:
    """Read a file of `save`: a `Clustering`, `PseudoLabels` or a fitted model, with arrays on the host.

    A model works on the device of the array it is given. The checksum is verified first. It detects damage, not
    forgery: load only files that you trust.

    Parameters
    ----------
    path : str or Path
        The file, or a project, which stands for its latest model.
    plugins : sequence of str
        Your own modules with classes that the file needs. They are imported, and remain allowed.

    Raises
    ------
    StoreError
        The file is missing, damaged, not an artifact of gpussl, or needs a plugin that is not allowed.
    ConfigError
        A plugin cannot be imported.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/a.safetensors", PseudoLabels(np.array([1, -1]), np.array([0, -1])))
    ...     load(f"{folder}/a.safetensors").labels
    array([ 1, -1])
    """
    path = latest_model(Path(path))
    described, arrays = _read(path)
    allow(plugins)
    return _unpack_from(path, described, arrays)


def latest_model(path: Path) -> Path:
    """Return the file of the latest model, if the path is a project; otherwise the path itself.

    >>> latest_model(Path("a.safetensors")).name
    'a.safetensors'
    """
    if not os.path.isdir(path):  # noqa: PTH112 - it never raises: a path that cannot be used is refused where it is read
        return path
    numbers = [int(place.name) for place in (path / "learned").glob("*") if place.name.isdigit()]
    return path / "learned" / str(max(numbers)) / "model.safetensors" if numbers else path


def check_savable(cls: type) -> None:
    """Raise ConfigError if objects of a class could not be saved and loaded again.

    A class can be saved if it is a frozen dataclass or has methods `pack` and `unpack`, and its kind is mapped to it.

    Examples
    --------
    >>> check_savable(Clustering)
    >>> check_savable(dict)
    Traceback (most recent call last):
    gpussl.errors.ConfigError: builtins:dict: expected a frozen dataclass, or methods pack and unpack; found neither
    """
    name = f"{cls.__module__}:{cls.__qualname__}"
    if not _is_packable(cls):
        raise ConfigError(f"{name}: expected a frozen dataclass, or methods pack and unpack; found neither")
    try:
        found = _class_of(_kind_of(cls))
    except StoreError:
        found = None
    if found is cls:
        return
    if cls.__module__.startswith("gpussl."):
        cure = f'give it the attribute kind: ClassVar[str] = "{cls.__module__.rpartition(".")[2]}"'
    elif is_allowed(cls.__module__):
        cure = "define it at the top of its module, without a kind of its own"
    else:
        cure = f"allow its module with plugins=[{cls.__module__}]"
    raise ConfigError(f"{name}: expected a class that `load` can find, found the kind {_kind_of(cls)!r}; {cure}")


def pack(artifact: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return the kind of an artifact, its arrays, and its other values. ConfigError if its class cannot be saved.

    An artifact with other artifacts inside packs them with this function too, and gives their arrays distinct names.

    Returns
    -------
    kind : str
    arrays : dict of str to array
        On their device.
    values : dict of str to object
        Values that JSON can represent.

    Examples
    --------
    >>> kind, arrays, values = pack(Clustering(np.zeros((1, 2)), np.zeros(3, dtype=int), np.zeros(3), 0.0, 5))
    >>> kind, sorted(arrays), values["n_iter"]
    ('clustering', ['centroids', 'distances', 'labels'], 5)
    """
    cls = type(artifact)
    check_savable(cls)
    if _packs_itself(cls):
        return _kind_of(cls), *artifact.pack()
    fields = {field.name: getattr(artifact, field.name) for field in dataclasses.fields(artifact)}
    arrays = {name: value for name, value in fields.items() if hasattr(value, "shape")}
    return _kind_of(cls), arrays, {name: value for name, value in fields.items() if name not in arrays}


def pack_parts(parts: Iterable[Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Pack several objects for one file: all arrays, named by place and name, and the kind and values of each.

    >>> from gpussl.classifier.knn import KNeighborsClassifier
    >>> arrays, packed = pack_parts([KNeighborsClassifier(1).fit([[0.0], [1.0]], [0, 1])])
    >>> "0.X_" in arrays, [part["kind"] for part in packed]
    (True, ['knn'])
    """
    arrays: dict[str, Any] = {}
    packed = []
    for place, part in enumerate(parts):
        kind, of_part, values = pack(part)
        arrays |= {f"{place}.{name}": array for name, array in of_part.items()}
        packed.append({"kind": kind, "values": values})
    return arrays, packed


def unpack_parts(arrays: dict[str, Any], packed: list[dict[str, Any]]) -> list[Any]:
    """The inverse of `pack_parts`.

    >>> from gpussl.classifier.knn import KNeighborsClassifier
    >>> unpack_parts(*pack_parts([KNeighborsClassifier(1).fit([[0.0], [1.0]], [0, 1])]))[0].n_neighbors
    1
    """
    parts = []
    for place, part in enumerate(packed):
        prefix = f"{place}."
        own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        parts.append(unpack(part["kind"], own, part["values"]))
    return parts


def unpack(kind: str, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> Any:
    """Return the artifact that `pack` took apart. StoreError if the kind is unknown or the parts do not fit its class.

    Examples
    --------
    >>> unpack("pseudo_labels", {"labels": np.array([3]), "sources": np.array([0])}, {}).labels
    array([3])
    """
    cls = _class_of(kind)
    try:
        return cls.unpack(dict(arrays), values) if _packs_itself(cls) else cls(**arrays, **values)  # type: ignore[attr-defined]
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, ConfigError) as error:
        raise StoreError(
            f"expected what this version of gpussl saves as {kind!r}, found something else ({_one_line(error)}); "
            "make it again"
        ) from error


@dataclasses.dataclass(frozen=True)
class Fetched:
    """A value of `Cache.fetch`, the seconds that computing it took, and whether it comes from the cache.

    Examples
    --------
    >>> fetched = Cache(None, {}).fetch("cluster", {}, lambda: 3)
    >>> fetched.value, fetched.cached
    (3, False)
    """

    value: Any
    seconds: float
    cached: bool


class Cache:
    """A cache of artifacts by everything they depend on, so that runs and sweeps do no work twice.

    An unreadable artifact is computed again, and one that cannot be written is not kept. Each problem is reported once.

    Parameters
    ----------
    folder : Path or None
        None keeps nothing.
    depends_on : dict
        Dependencies of all artifacts, such as versions and device.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = Cache(Path(folder), {"version": 1})
    ...     compute = lambda: PseudoLabels(np.array([3]), np.array([0]))
    ...     [cache.fetch("represent", {"seed": 0}, compute).cached for _ in range(2)]
    [False, True]
    """

    def __init__(self, folder: Path | None, depends_on: dict[str, Any]) -> None:
        self._folder = folder
        self._depends_on = depends_on
        self._told: set[str] = set()

    def fetch(self, stage: str, depends_on: dict[str, Any], compute: Callable[[], Any]) -> Fetched:
        """Return the artifact of a stage, computed only if it is not in the cache.

        `depends_on` must contain, as JSON, everything that the result depends on: settings, seed, input checksums.
        """
        if self._folder is None:
            return _timed(compute)
        depends_on = {"stage": stage, **self._depends_on, **depends_on}
        key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
        path = self._folder / stage / f"{key}.safetensors"
        try:
            if path.is_file():
                return _fetched(path, key)
        except StoreError as error:
            self._tell(f"{error}; computing it again")
        except OSError as error:
            self._tell(f"{self._folder} could not be read ({error.strerror}); going on without")
            return _timed(compute)
        fetched = _timed(compute)
        try:
            _write(path, _to_bytes(path, fetched.value, {"key": key, "seconds": fetched.seconds}))
            note = {"seconds": fetched.seconds, "depends_on": depends_on}  # for people; never read
            _write(path.with_suffix(".json"), json.dumps(note, indent=1).encode())
        except OSError as error:
            self._tell(f"{self._folder} could not be written ({error.strerror}); going on without")
        return fetched

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            console.say(f"cache: {text}")


def digest(*arrays: Any) -> str:
    """Return the SHA-256 of the values, types and shapes of arrays on any device.

    Examples
    --------
    >>> digest(np.zeros(3)) == digest(np.zeros(3)), digest(np.zeros(3)) == digest(np.zeros((3, 1)))
    (True, False)
    """
    total = hashlib.sha256()
    for array in arrays:
        on_host = np.asarray(backend.of(array).to_numpy(array), order="C")
        total.update(f"{on_host.dtype.str}{on_host.shape}".encode())
        total.update(on_host.data)
    return total.hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text(Path(folder) / "a.txt", "text")
    ...     file_digest(Path(folder) / "a.txt")[:8]
    '982d9e3e'
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def has_digest(path: Path, digest: str) -> bool:
    """Return whether a path is a file with the given SHA-256.

    >>> has_digest(Path("nowhere"), 64 * "0")
    False
    """
    return path.is_file() and file_digest(path) == digest


def keep_changed(path: Path) -> None:
    """Rename a file that somebody has changed, to `<name>.changed1` or the next free number, and say so.

    Examples
    --------
    >>> import contextlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(None):
    ...     write_text(Path(folder) / "a.txt", "text")
    ...     keep_changed(Path(folder) / "a.txt")
    ...     [path.name for path in Path(folder).iterdir()]
    ['a.txt.changed1']
    """
    number = 1
    while os.path.lexists(f"{path}.changed{number}"):
        number += 1
    kept = path.with_name(f"{path.name}.changed{number}")
    path.replace(kept)
    console.say(f"{path}: changed since it was made; kept as {kept.name}")


def _timed(compute: Callable[[], Any]) -> Fetched:
    start = time.perf_counter()
    value = compute()
    return Fetched(value, time.perf_counter() - start, cached=False)


def _fetched(path: Path, key: str) -> Fetched:
    described, arrays = _read(path)
    if described.get("key") != key:
        raise StoreError(f"{path}: expected what was kept under this name, found another file in its place")
    seconds = described.get("seconds")
    if not isinstance(seconds, (int, float)):
        raise StoreError(f"{path}: expected the seconds that it took, found {seconds!r}")
    return Fetched(_unpack_from(path, described, arrays), seconds, cached=True)


def _to_bytes(path: Path, artifact: Any, also: dict[str, Any] | None = None) -> bytes:
    """An artifact as a safetensors file. `also` adds entries to its description; `path` is for messages."""
    kind, arrays, values = pack(artifact)
    try:
        on_host = {name: _as_stored(array) for name, array in arrays.items()}
        described = json.loads(json.dumps({"kind": kind, "values": values, **(also or {})}))  # as they will be read
        described["sha256"] = _checksum(described, on_host)
        # one metadata key: safetensors writes several in no fixed order
        return to_safetensors(on_host, {METADATA_KEY: json.dumps(described, sort_keys=True)})
    except (safetensors.SafetensorError, TypeError, ValueError) as error:
        raise StoreError(
            f"{path}: expected arrays of numbers and values that JSON can hold, found others in {kind!r} "
            f"({_one_line(error)}); leave them out, or convert them in its pack method"
        ) from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The description and the arrays of a file. StoreError if they are not as they were written."""
    try:
        if path.is_dir():
            raise StoreError(f"{path}: expected a file, found a folder; name one of the .safetensors files in it")
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        described = dict(json.loads(metadata[METADATA_KEY]))
    except OSError as error:
        raise StoreError(f"{path}: expected a readable artifact of gpussl, found: {_one_line(error)}") from error
    except (safetensors.SafetensorError, AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise StoreError(
            f"{path}: expected an artifact that gpussl saved, found something else ({_one_line(error)})"
        ) from error
    if "sha256" not in described:
        raise StoreError(
            f"{path}: expected a checksum, found none; an earlier version of gpussl saved it: make it again"
        )
    if described.pop("sha256") != _checksum(described, arrays):
        raise StoreError(
            f"{path}: expected the checksum that it was saved with, found another; the file is damaged: make it again"
        )
    return described, arrays


def _unpack_from(path: str | Path, described: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    try:
        return unpack(str(described.get("kind")), arrays, described.get("values", {}))
    except StoreError as error:
        raise StoreError(f"{path}: {error}") from error


def _checksum(described: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    names = sorted(arrays)
    total = hashlib.sha256(json.dumps([described, names], sort_keys=True).encode())
    total.update(digest(*(arrays[name] for name in names)).encode())
    return total.hexdigest()


def _as_stored(array: Any) -> np.ndarray:
    """The array on the host, contiguous and little-endian."""
    on_host = backend.of(array).to_numpy(array)
    return np.asarray(on_host, dtype=on_host.dtype.newbyteorder("<"), order="C")


def _kind_of(cls: type) -> str:
    """The name of a record, or the class's own kind, which subclasses do not inherit, or "module:Class"."""
    for kind, record in RECORDS.items():
        if record is cls:
            return kind
    own = vars(cls).get("kind")
    return own if isinstance(own, str) else f"{cls.__module__}:{cls.__qualname__}"


def _class_of(kind: str) -> type:
    """The class of a kind. StoreError if there is none, or its module may not be imported."""
    if kind in RECORDS:
        return RECORDS[kind]
    for module in _modules_of(kind):
        for cls in vars(module).values():
            if isinstance(cls, type) and _kind_of(cls) == kind and _is_packable(cls):
                return cls
    raise StoreError(
        f"expected a kind of this version of gpussl, found {kind!r}; load it with the version that saved it"
    )


def _modules_of(kind: str) -> Iterator[ModuleType]:
    """The modules that may define a kind, each of gpussl or allowed; no others are imported."""
    plugin, separator, _ = kind.partition(":")
    if separator:
        if not is_allowed(plugin):
            raise StoreError(
                f"expected a class of gpussl or of an allowed plugin, found {kind!r}; "
                f"if you trust that module, load it with plugins=[{plugin!r}]"
            )
        yield sys.modules[plugin]
    elif PLAIN.fullmatch(kind):
        for group in GROUPS:
            name = f"gpussl.{group}.{ALIASES.get(kind, kind)}"
            if importlib.util.find_spec(name):
                yield _import(name)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise StoreError(
            f"expected the libraries that {name} needs, found: {error}; install gpussl[cpu] or gpussl[gpu]"
        ) from error


def _packs_itself(cls: type) -> bool:
    return hasattr(cls, "pack") and hasattr(cls, "unpack")


def _is_packable(cls: type) -> bool:
    is_frozen = dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    return is_frozen or _packs_itself(cls)


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as part:
        part.write_bytes(content)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path}: expected a file that can be written, found: {error.strerror}; make room, or name another file"
        ) from error


def _create_part(folder: Path) -> tuple[Path, int]:
    """A new temporary file and its descriptor, locked. The system releases the lock when the process ends."""
    while True:
        part = folder / f".{secrets.token_hex(8)}{PART}"
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:  # else another process found it unlocked and removed it
            return part, handle
        os.close(handle)


def _remove_abandoned(folder: Path) -> None:
    """Remove the temporary files that no process has locked."""
    with contextlib.suppress(OSError):  # a folder may be writable even if it cannot be listed
        for part in folder.glob(f".*{PART}"):
            with contextlib.suppress(OSError), part.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
