"""The folder of a run: one process at a time works in a folder of its own inside it, and touches no other file.

The files of a run appear together, once it is whole, and its manifest lists them. Only listed files are ever replaced.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gpussl.errors import ConfigError
from gpussl.report import manifest
from gpussl.report.manifest import CONFIG, MANIFEST
from gpussl.runtime import environment, store
from gpussl.runtime.config import Job

WORK = ".running"  # inside the folder of a run; everything in it belongs to the process that has locked it
LOCK = "lock"
REPLACED = "replaced.json"  # in WORK: the manifest of the finished run that this one replaces
ALWAYS = (MANIFEST, CONFIG, "results.csv", "report.html")  # checked before the work; other names are known after it
HYDRAS = ".hydra/"  # Hydra replaces files here, so these may be replaced too
EXPECTED = "hydra.run.dir: expected a folder without a run in it"


class Claim:
    """The folder of a run while a process works in it.

    Attributes
    ----------
    folder : Path
        Where the files of the finished run will be.
    work : Path
        Where they are written.

    Examples
    --------
    >>> Claim(Path("outputs")).work.as_posix()
    'outputs/.running'
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / WORK
        self._published: dict[str, str] = {}  # checksums by path

    def holds(self, job: Job) -> bool:
        """Whether the folder contains the same job, whole, finished by the same code and libraries.

        The data are not compared.
        """
        described = manifest.of_whole_run(self.folder)
        if described is None:
            return False
        made_with = (described.get("code"), described.get("versions"), (self.folder / CONFIG).read_text())
        return made_with == (environment.source_digest(), environment.versions(), job.resolved)

    def publish(self, described: Mapping[str, Any]) -> None:
        """Move the files of the work to the folder of the run, and the manifest, which lists them, last.

        Raises
        ------
        ConfigError
            A file that is not this run's has the same name. Nothing is lost: the work stays where it is.
        """
        self._published |= {name: store.file_digest(self.work / name) for name in _files(self.work)}
        store.write_text(self.work / MANIFEST, manifest.to_json({**described, "files": self._published}))
        _move(self.folder)


@contextlib.contextmanager
def claim(folder: Path, *, replace: bool = False) -> Iterator[Claim]:
    """Lock the folder of a run for the block. Whatever was not published is removed at the end.

    Parameters
    ----------
    replace : bool
        Whether a finished run may be replaced; that happens when the new one is published.

    Raises
    ------
    ConfigError
        The folder contains a finished run, a sweep, or other files that the run would overwrite; or another process is
        using it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     try:
    ...         with claim(Path(folder)) as claimed:
    ...             (claimed.work / "results.csv").touch()
    ...             raise KeyboardInterrupt
    ...     except KeyboardInterrupt:
    ...         print(list(Path(folder).iterdir()))
    ...     with claim(Path(folder)) as claimed:
    ...         (claimed.work / "results.csv").touch()
    ...         claimed.publish({"name": "mine"})
    ...     sorted(path.name for path in Path(folder).iterdir())
    []
    ['manifest.json', 'results.csv']
    """
    folder.mkdir(parents=True, exist_ok=True)
    claimed = Claim(folder)
    with _lock(claimed.work) as is_ours:
        if not is_ours:
            raise ConfigError(f"{EXPECTED}, found one at work in {folder}; name another folder")
        if (claimed.work / MANIFEST).is_file():
            _move(folder)  # a killed process had begun to
        _clear(claimed.work)
        ours = manifest.listed(folder)
        if ours and not replace:
            raise ConfigError(f"{EXPECTED}, found a finished one in {folder}; name another folder")
        if (folder / "multirun.yaml").exists():
            raise ConfigError(f"{EXPECTED}, found a sweep in {folder}; name another folder")
        _refuse_foreign(folder, ALWAYS, ours)
        yield claimed


def _move(folder: Path) -> None:
    """Move all files from the work to the folder. If it is interrupted, the next claim goes on with it.

    The work's manifest says that the work is whole, so it moves last. The manifest of a run that is replaced goes
    first: without it, that run is not finished.
    """
    work = folder / WORK
    new, old = manifest.listed(work), manifest.listed(folder)
    if old and not old.items() <= new.items() and not (work / REPLACED).exists():
        (folder / MANIFEST).replace(work / REPLACED)
    replaced = old | manifest.listed(work, REPLACED)
    moving = _files(work)
    try:
        _refuse_foreign(folder, moving, replaced)
    except ConfigError as error:
        raise ConfigError(f"{error}. Its files are safe in {work}: move yours away, and run it again") from error
    for name in replaced:
        if name not in new:
            (folder / name).unlink(missing_ok=True)
    for name in moving:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).replace(folder / name)
    (work / MANIFEST).replace(folder / MANIFEST)
    (work / REPLACED).unlink(missing_ok=True)


def _refuse_foreign(folder: Path, names: tuple[str, ...] | list[str], ours: Mapping[str, str]) -> None:
    for name in names:
        if name not in ours and not name.startswith(HYDRAS) and (folder / name).exists():
            raise ConfigError(
                f"hydra.run.dir: expected a folder where no other {name} is, found one in {folder}; name another folder"
            )


def _files(work: Path) -> list[str]:
    """The paths of the files of the work, relative to it, in order."""
    own = {LOCK, MANIFEST, REPLACED}
    paths = sorted(path.relative_to(work).as_posix() for path in work.rglob("*") if not path.is_dir())
    return [path for path in paths if path not in own]


def _clear(work: Path) -> None:
    for path in work.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


@contextlib.contextmanager
def _lock(work: Path) -> Iterator[bool]:
    """Create and lock the folder of the work, and remove it after the block. False if another process has locked it.

    A work that could not be published stays. The system releases the lock of a killed process.
    """
    work.mkdir(exist_ok=True)
    try:
        file = (work / LOCK).open("a")
    except FileNotFoundError:  # another process has just removed the folder
        yield False
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.path.samestat((work / LOCK).stat(), os.fstat(file.fileno()))
        except (BlockingIOError, FileNotFoundError):
            is_ours = False
        try:
            yield is_ours
        finally:
            if is_ours and not (work / MANIFEST).exists():
                shutil.rmtree(work)
