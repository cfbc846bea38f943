"""Images: a folder of picture files of any common format."""

import dataclasses
import functools
import hashlib
import json
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gpussl.data import own
from gpussl.data.files import files_in, suffix_of
from gpussl.errors import DataError, StoreError
from gpussl.protocols import Reader, Source
from gpussl.records import Dataset, OnProgress, Reading
from gpussl.runtime import store
from gpussl.runtime.names import expanded
from gpussl.runtime.params import check, param

LARGEST = 64  # pixels of the longer side; smaller pictures stay as they are
N_SAMPLED = 200  # pictures whose headers decide the size and the colours
PART, CHUNK = 4096, 64  # pictures that are read at once, and that a process decodes at once
ENOUGH_FOR_PROCESSES = 400  # pictures; fewer are decoded before a process has started
PARTS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation"})  # folders that are no classes
MAX_PIXELS = 178_956_970  # Pillow's limit
# suffixes of files that are no pictures; all others are opened, and their content decides
OTHERS = frozenset({
    ".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".html", ".pdf", ".zip", ".py", ".ipynb",
    ".log", ".db", ".npy", ".npz", ".parquet", ".mp4", ".mov", ".avi", ".doc", ".docx",
})  # fmt: skip


@dataclass(frozen=True)
class ImageReader(Reader):
    """Reads picture files as pixels of one shape.

    Attributes
    ----------
    height, width, channels : int
    max_pixels : int
        Larger pictures are skipped.
    labels : {"none", "folders"}
        Whether the first folder of a path is the class.
    cache : str or None
        Folder for the pixels of files that were read before.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("L", (2, 2), 9).save(f"{folder}/a.png")
    ...     (part,) = ImageReader(2, 2, 1).read(folder)
    >>> part.ids, part.X.tolist()
    (['a.png'], [[9, 9, 9, 9]])
    """

    kind: ClassVar[str] = "images"

    height: int
    width: int
    channels: int
    max_pixels: int = MAX_PIXELS
    labels: str = "none"
    cache: str | None = None

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(height, width), or (height, width, 3)."""
        return (self.height, self.width) if self.channels == 1 else (self.height, self.width, self.channels)

    def read(self, source: Any, on_progress: OnProgress | None = None) -> Iterator[Reading]:
        """See `Reader.read`. The source is a folder, or a single picture."""
        yield from self.parts(*listed(source), on_progress)

    def parts(self, folder: Path, names: Sequence[str], on_progress: OnProgress | None = None) -> Iterator[Reading]:
        """Read the pictures of these names in a folder, part by part."""
        known = _Known(self, folder) if self.cache is not None else None
        done = 0
        for part, started in _ahead(lambda part: self._start(folder, part, known), names):
            pixels = self._decoded(part, started, known)
            yield self._reading(part, pixels)
            done += len(part)
            if on_progress is not None:
                on_progress(done, len(names), f"{done:,} of {len(names):,} pictures")
        if known is not None:
            known.save()

    def _reading(self, names: Sequence[str], decoded: Sequence[Any]) -> Reading:
        rows, ids, skipped = [], [], []
        counts: Counter[str] = Counter()
        for name, (pixels, reason, remarks) in zip(names, decoded, strict=True):
            if pixels is None:
                skipped.append((name, reason))
                continue
            rows.append(pixels)
            ids.append(name)
            counts.update(remarks)
        d = self.height * self.width * self.channels
        X = np.stack(rows) if rows else np.zeros((0, d), dtype=np.uint8)
        labels = [name.partition("/")[0] if "/" in name else "" for name in ids] if self.labels == "folders" else []
        return Reading(ids, X, skipped, labels, dict(counts))

    def _start(self, folder: Path, names: Sequence[str], known: "_Known | None") -> "_Started":
        """Look for known pixels, and begin to decode the other files."""
        found: dict[str, Any] = {}
        states = {}
        if known is not None:
            for name in names:
                states[name] = _state(f"{folder}/{name}")
                pixels = known.get(name, states[name])
                if pixels is not None:
                    found[name] = (pixels, "", [])
        missing = [name for name in names if name not in found]
        settings = (self.height, self.width), self.channels, self.max_pixels
        return _Started(found, states, missing, in_processes([f"{folder}/{name}" for name in missing], *settings))

    def _decoded(self, names: Sequence[str], started: "_Started", known: "_Known | None") -> list[Any]:
        found = started.found
        for name, decoded in zip(started.missing, started.decoding, strict=True):
            found[name] = decoded
            if known is not None and decoded[0] is not None and not decoded[2]:
                known.add(name, started.states[name], decoded[0])
        return [found[name] for name in names]


@dataclass(frozen=True)
class _Started:
    """Pictures of one part: those found, the states of their files, and those being decoded."""

    found: dict[str, Any]
    states: dict[str, list[int]]
    missing: Sequence[str]
    decoding: Iterable[Any]


def _ahead(
    start: Callable[[Sequence[str]], _Started], names: Sequence[str]
) -> Iterator[tuple[Sequence[str], _Started]]:
    """Parts of the names, each with the next one started: processes decode it while this one is worked on."""
    parts = [names[place : place + PART] for place in range(0, len(names), PART)]
    started = [start(part) for part in parts[:1]]
    for place, part in enumerate(parts):
        started += [start(following) for following in parts[place + 1 : place + 2]]
        yield part, started.pop(0)


@dataclass(frozen=True)
class ImageFolder(Source):
    """The pictures of a person, in a folder and the folders in it.

    Parameters
    ----------
    path : str
    name : str
    size : int, optional
        Pixels of the longer side. By default small pictures stay as they are, and others get 64.
    labels : {"none", "folders"}
        Whether the first folder of a path is the class.
    max_pixels : int
        Larger pictures are skipped.
    cache : str, optional
        Folder for the pixels of files that were read before; they are read again if their size or time has changed.
    strict : bool
        Whether a picture that cannot be read is an error.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("a.png", "b.png"):
    ...         Image.new("RGB", (8, 6), "red").save(f"{folder}/{name}")
    ...     data = ImageFolder(folder).load()
    >>> data.train_ids, data.image_shape
    (['a.png', 'b.png'], (6, 8, 3))
    """

    path: str
    name: str = "images"
    size: int | None = param(None, ge=4)
    labels: str = param("none", choices=("none", "folders"))
    max_pixels: int = param(MAX_PIXELS, ge=1)
    cache: str | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        check(self)

    def load(self) -> Dataset:
        """Read the pictures. DataError if there are none, or most are broken."""
        path = expanded(self.path)
        everything = files_in(path) if path.is_dir() else []
        folder, names = (path, [name for name in everything if _is_picture(name)]) if everything else listed(path)
        if not names:
            raise DataError(f"{self.path}: expected pictures, found none; name another folder, or data=... of its kind")
        if self.labels == "folders":
            _check_classes(folder, names)
        reader, note = fit(self, folder, names)
        reading = own.joined(list(reader.parts(folder, names)))
        notes = [note]
        if len(everything) > len(names):
            notes.append(f"{len(everything) - len(names):,} other files left alone")
        reader = dataclasses.replace(reader, cache=None)  # the cache is this user's, the model perhaps another's
        return own.dataset(
            self.name, reader, reading, notes, strict=self.strict, image_shape=reader.image_shape, max_value=255.0
        )


def fit(settings: ImageFolder, folder: Path, names: Sequence[str]) -> tuple[ImageReader, str]:
    """Find the shape and the colours from the headers of some pictures: the reader, and a note for people.

    >>> fit(ImageFolder("."), Path("missing"), ["a.png"])
    Traceback (most recent call last):
    gpussl.errors.DataError: missing: expected pictures, found none of a known format, such as a.png
    """
    from gpussl.data.decode import form_of

    step = max(1, len(names) // N_SAMPLED)
    forms = [form for name in names[::step] if (form := form_of(str(folder / name))) is not None]
    if not forms:
        raise DataError(f"{folder}: expected pictures, found none of a known format, such as {names[0]}")
    heights, widths = (np.array([form[place] for form in forms]) for place in (0, 1))
    longest = int(np.median(np.maximum(heights, widths)))
    side = settings.size or min(longest, LARGEST)
    aspect = float(np.median(widths / heights))
    height, width = (side, max(1, round(side * aspect))) if aspect <= 1 else (max(1, round(side / aspect)), side)
    channels = 3 if any(has_colours for _, _, has_colours in forms) else 1
    same = len(set(zip(heights.tolist(), widths.tolist(), strict=True))) == 1
    found = f"{forms[0][1]} x {forms[0][0]}" if same else f"{longest} pixels and other sizes"
    note = f"pictures of {found}, {'grey' if channels == 1 else 'with colours'}, as {width} x {height} pixels"
    reader = ImageReader(height, width, channels, settings.max_pixels, settings.labels, settings.cache)
    return reader, note


def listed(source: Any) -> tuple[Path, list[str]]:
    """Return the folder of a source, and the pictures in it. DataError if it is missing.

    >>> listed("missing")
    Traceback (most recent call last):
    gpussl.errors.DataError: missing: expected a folder of pictures or a picture, found nothing there
    """
    if not isinstance(source, (str, Path)):
        raise DataError(f"expected a folder of pictures or a picture, found a {type(source).__name__}; give its path")
    path = Path(source)
    if path.is_dir():
        return path, files_in(path, _is_picture)
    if not path.exists():
        raise DataError(f"{path}: expected a folder of pictures or a picture, found nothing there")
    return path.parent, [path.name]


def _check_classes(folder: Path, names: Sequence[str]) -> None:
    """Raise DataError if a folder that should be a class is a part of the data: what is for testing must stay so."""
    parts = sorted({first for name in names if (first := name.partition("/")[0]).lower() in PARTS and "/" in name})
    if parts:
        raise DataError(
            f"{folder}: expected a folder for each class, found {' and '.join(map(repr, parts))}, which looks like a "
            f"part of the data; name the folder of the classes, such as {folder / parts[-1]}, or rename it"
        )


def _is_picture(name: str) -> bool:
    return suffix_of(name) not in OTHERS


def in_processes(paths: Sequence[str], shape: tuple[int, int], channels: int, max_pixels: int) -> Iterable[Any]:
    """Decode files, in as many processes as there are cores if there are many files; these begin at once.

    >>> list(in_processes([], (2, 2), 1, 100))
    []
    """
    from gpussl.data.decode import decode

    one = functools.partial(decode, shape=shape, channels=channels, max_pixels=max_pixels)
    if len(paths) < ENOUGH_FOR_PROCESSES:
        return [one(path) for path in paths]
    if not _is_command():
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            return list(threads.map(one, paths))
    return _pool().map(one, paths, chunksize=CHUNK)


def _is_command() -> bool:
    """Whether this is the command. Processes import the main script again, which a user's script may not expect."""
    return Path(getattr(sys.modules["__main__"], "__file__", None) or "").name in ("gpussl", "__main__.py")


@functools.cache
def _pool() -> ProcessPoolExecutor:
    """Processes that decode. They are new interpreters: a fork would copy the locks of this one's threads."""
    return ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("forkserver"))


def _state(path: str) -> list[int]:
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path takes several times as long, for each of many files
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]


class _Known:
    """The pixels of files that were read before, by path, size and time."""

    def __init__(self, reader: ImageReader, folder: Path) -> None:
        made_of = f"{folder.resolve()} {reader.height} {reader.width} {reader.channels}"
        name = hashlib.sha256(os.fsencode(made_of)).hexdigest()[:32]
        self._folder = expanded(str(reader.cache)) / name
        self._d = reader.height * reader.width * reader.channels
        self._places: dict[str, list[int]] = {}
        self._pixels = np.zeros((0, self._d), dtype=np.uint8)
        self._new: list[tuple[str, list[int], np.ndarray]] = []
        self._used: list[str] = []
        try:
            index = json.loads((self._folder / "index.json").read_text())
            pixels = np.load(self._folder / f"{index['sha256']}.npy", mmap_mode="r", allow_pickle=False)
            if store.digest(pixels) == index["sha256"] and pixels.shape == (len(index["files"]), self._d):
                self._places, self._pixels = index["files"], np.asarray(pixels)  # rows of a memmap are slow to take
        except (OSError, ValueError, KeyError, TypeError):
            pass  # nothing there, or damaged: read again

    def get(self, name: str, state: list[int]) -> np.ndarray | None:
        found = self._places.get(name)
        if found is None or not state or found[1:] != state:
            return None
        self._used.append(name)
        return self._pixels[found[0]]

    def add(self, name: str, state: list[int], pixels: np.ndarray) -> None:
        self._new.append((name, state, pixels))

    def save(self) -> None:
        """Write what is new together with what was used."""
        if not self._new:
            return
        old = [self._places[name][0] for name in self._used]
        pixels = np.concatenate([self._pixels[old], *(item[None] for _, _, item in self._new)])
        files = {name: [row, *self._places[name][1:]] for row, name in enumerate(self._used)}
        files |= {name: [len(old) + row, *state] for row, (name, state, _) in enumerate(self._new)}
        digest = store.digest(pixels)
        try:
            for path in self._folder.glob("*.npy") if self._folder.is_dir() else []:
                path.unlink()
            with store.atomic_path(self._folder / f"{digest}.npy") as part, part.open("wb") as file:
                np.save(file, pixels)
            store.write_text(self._folder / "index.json", json.dumps({"sha256": digest, "files": files}))
        except (OSError, StoreError):
            return  # a cache that cannot be written costs time, not results
