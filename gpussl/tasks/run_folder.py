"""The folder of a run: one process at a time works in a folder of its own inside it, and touches no other file.

The files of a run appear together, once it is whole, and its manifest lists them. Only listed files are ever replaced.
"""

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from gpussl.errors import ConfigError
from gpussl.report import manifest
from gpussl.report.manifest import CONFIG, MANIFEST
from gpussl.runtime import console, environment, store
from gpussl.runtime.config import Job

WORK = ".running"  # inside the folder of a run; everything in it belongs to the process that has locked it
LOCK = "lock"
REPLACED = "replaced.json"  # in WORK: the manifest of the finished run that this one replaces
# checked before the work, with x for any file of a folder; the other names are known after it
ALWAYS = (MANIFEST, CONFIG, "results.csv", "report.html", ".hydra/config.yaml", "models/x", "labels/x", "figures/x")
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
        store.write_text(self.work / MANIFEST, manifest.to_json(manifest.with_files(described, self._published)))
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
        if _is_whole(folder):  # a process that was refused or killed has left it
            _move(folder)
            console.say(f"{folder}: put the finished run in place that was waiting in {WORK}")
        _clear(claimed.work)
        ours = manifest.listed(folder)
        if replace and not ours and (folder / CONFIG).exists():
            raise ConfigError(
                f"{folder}: expected a manifest that tells the files of this job from yours, found none or a damaged "
                "one; move the folder away, and run the sweep again"
            )
        if ours and not replace:
            raise ConfigError(f"{EXPECTED}, found a finished one in {folder}; name another folder")
        if (folder / "multirun.yaml").exists():
            raise ConfigError(f"{EXPECTED}, found a sweep in {folder}; name another folder")
        _refuse_foreign(folder, ALWAYS, ours)
        yield claimed


def _is_whole(folder: Path) -> bool:
    """Whether the work lists all its files, and each is there or has been moved already."""
    new = manifest.listed(folder / WORK)
    places = (folder / WORK, folder)
    return bool(new) and all(
        any(store.has_digest(place / name, checksum) for place in places) for name, checksum in new.items() if checksum
    )


def _move(folder: Path) -> None:
    """Move all files from the work to the folder. If it is interrupted, the next claim goes on with it.

    The work's manifest says that the work is whole, so it moves last. The manifest of a run that is replaced goes
    first: without it, that run is not finished. A file of that run that was changed since is kept under another name.
    """
    work = folder / WORK
    new, old = manifest.listed(work), manifest.listed(folder)
    moving = _files(work)
    try:
        _refuse_foreign(folder, moving, old | manifest.listed(work, REPLACED))
    except ConfigError as error:
        raise ConfigError(f"{error}. Its files are safe in {work}: move yours away, and run it again") from error
    if old and not old.items() <= new.items():
        (folder / MANIFEST).replace(work / REPLACED)
    for name, checksum in manifest.listed(work, REPLACED).items():
        path = folder / name
        if not checksum or not os.path.lexists(path):
            continue
        if not store.has_digest(path, checksum) and not store.has_digest(path, new.get(name, "")):
            store.keep_changed(path)
        elif name not in new:
            path.unlink()
    for name in moving:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).replace(folder / name)
    (work / MANIFEST).replace(folder / MANIFEST)
    (work / REPLACED).unlink(missing_ok=True)


def _refuse_foreign(folder: Path, names: Iterable[str], ours: Mapping[str, str]) -> None:
    """Raise ConfigError if a file that is not ours has one of the names, or something else is where its folder is."""
    cure = "name another folder"
    for name in names:
        path = folder / name
        if name not in ours and os.path.lexists(path):
            raise ConfigError(
                f"hydra.run.dir: expected a folder where no other {name} is, found one in {folder}; {cure}"
            )
        for parent in list(PurePosixPath(name).parents)[:-1]:
            place = folder / parent
            if os.path.lexists(place) and (place.is_symlink() or not place.is_dir() or os.path.ismount(place)):
                raise ConfigError(f"{place}: expected a folder or nothing, found a file, link or mount; {cure}")


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
    if _is_foreign(work):
        raise ConfigError(f"{work}: expected no such file, found one that is not a run's; name another folder")
    try:
        work.mkdir(exist_ok=True)
        file = (work / LOCK).open("a")
    except (FileExistsError, FileNotFoundError):  # another process has just removed the folder
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
                _clear(work)
                (work / LOCK).unlink()  # last: until then, no other process works here
                with contextlib.suppress(OSError):  # another process has come
                    work.rmdir()


def _is_foreign(work: Path) -> bool:
    """Whether a file or link has this name, or a folder with files, but without the lock that every run makes first."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISDIR(work.lstat().st_mode):
            return True
        names = {path.name for path in work.iterdir()}
        return bool(names) and LOCK not in names
    return False
