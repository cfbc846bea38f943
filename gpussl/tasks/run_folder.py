"""The folder of a run: only one process uses it at a time, and a failed run leaves nothing behind."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from gpussl.errors import ConfigError
from gpussl.report.manifest import CONFIG, MANIFEST
from gpussl.runtime import environment
from gpussl.runtime.config import Job

MARK = ".running"
# files of a run. The manifest is removed first: without it a run is not finished
LEFT_BY_RUNS = (
    MANIFEST, CONFIG, "results.csv", "report.html", "allocations.json", "calibration.json", "clustering.safetensors",
    "budget.json", "budget.csv",
    "labels/*.safetensors", "models/*.safetensors", "figures/*.png",
)  # fmt: skip


def is_finished(folder: Path, job: Job) -> bool:
    """Return whether a folder contains the same job, finished by the same code and libraries. Data are not compared.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.runtime import config
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     is_finished(Path(folder), config.job("classifier=[knn]"))
    False
    """
    try:
        described = json.loads((folder / MANIFEST).read_text())
        made_with = (described["code"], described["versions"], (folder / CONFIG).read_text())
        return made_with == (environment.source_digest(), environment.versions(), job.resolved)
    except (OSError, KeyError, ValueError):
        return False


def discard(folder: Path) -> None:
    """Remove the files of a run from its folder, and no others.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("results.csv", "mine.txt"):
    ...         (Path(folder) / name).touch()
    ...     discard(Path(folder))
    ...     [path.name for path in Path(folder).iterdir()]
    ['mine.txt']
    """
    for pattern in LEFT_BY_RUNS:
        for path in folder.glob(pattern):
            path.unlink()


@contextlib.contextmanager
def claim(folder: Path, *, replace: bool = False) -> Iterator[None]:
    """Lock the folder of a run for the block. If the block fails, the files of the run are removed.

    Parameters
    ----------
    replace : bool
        Whether a finished run may be replaced. The files of a killed run are removed in any case.

    Raises
    ------
    ConfigError
        The folder contains a finished run or a sweep, or another process is using it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     try:
    ...         with claim(Path(folder)):
    ...             (Path(folder) / "results.csv").touch()
    ...             raise KeyboardInterrupt
    ...     except KeyboardInterrupt:
    ...         print(list(Path(folder).iterdir()))
    []
    """
    expected = "hydra.run.dir: expected a folder without a run in it"
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / MARK) as mark:
        if mark is None:
            raise ConfigError(f"{expected}, found one at work in {folder}; name another folder")
        was_killed, is_finished = bool(mark.read()), (folder / MANIFEST).exists()
        if is_finished and not replace:
            raise ConfigError(f"{expected}, found a finished one in {folder}; name another folder")
        if (folder / "multirun.yaml").exists():
            raise ConfigError(f"{expected}, found a sweep in {folder}; name another folder")
        if was_killed or is_finished:
            discard(folder)
        mark.write("at work, or killed\n")
        mark.flush()
        try:
            yield
        except BaseException:
            discard(folder)
            raise


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[IO[str] | None]:
    """A locked file that is removed after the block; None if another process has locked it.

    The system releases the lock of a killed process, but its file remains.
    """
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino
        except BlockingIOError:
            is_ours = False
        if not is_ours:  # another process has the lock, or has just removed the file
            yield None
            return
        file.seek(0)
        try:
            yield file
        finally:
            path.unlink()
