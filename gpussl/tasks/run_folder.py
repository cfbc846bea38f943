"""The folder of a run: one process has it at a time, and a run that fails leaves nothing of itself there."""

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
# what a run leaves, the manifest first: without it nothing else counts
LEFT_BY_RUNS = (
    MANIFEST, CONFIG, "results.csv", "report.html", "allocations.json", "calibration.json", "clustering.safetensors",
    "budget.json", "budget.csv",
    "labels/*.safetensors", "models/*.safetensors", "figures/*.png",
)  # fmt: skip


def is_finished(folder: Path, job: Job) -> bool:
    """Does a folder hold this very job, run to its end by this very code and these libraries? Data are not compared."""
    try:
        described = json.loads((folder / MANIFEST).read_text())
        made_with = (described["code"], described["versions"], (folder / CONFIG).read_text())
        return made_with == (environment.source_digest(), environment.versions(), job.resolved)
    except (OSError, KeyError, ValueError):
        return False


def discard(folder: Path) -> None:
    """Remove what a run has left in its folder, and nothing else."""
    for pattern in LEFT_BY_RUNS:
        for path in folder.glob(pattern):
            path.unlink()


@contextlib.contextmanager
def claim(folder: Path, *, replace: bool = False) -> Iterator[None]:
    """Have a run folder to oneself for the block. If it fails, nothing of the run is left.

    Parameters
    ----------
    replace : bool
        Whether a finished run may be removed. What a killed one has left is removed in any case.

    Raises
    ------
    ConfigError
        The folder holds a finished run, or another process is at work in it.
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
    """A file that only one process has at a time and that is gone after the block; None if another has it.

    The lock is the system's: a process that dies lets go of it, and leaves the file behind.
    """
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino
        except BlockingIOError:
            is_ours = False
        if not is_ours:  # another process has it, or had it and has just removed it
            yield None
            return
        file.seek(0)
        try:
            yield file
        finally:
            path.unlink()
