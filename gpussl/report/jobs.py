"""The jobs of a sweep, as the jobs themselves have registered them in the folder of the sweep.

The hidden folder `.sweep` has a file for each job of the latest sweep, and a list of the files that gathering the
results has written. A job is known by its number, whatever the clock says and wherever its own folder is.
"""

import dataclasses
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gpussl.errors import ConfigError, StoreError
from gpussl.report import manifest
from gpussl.report.manifest import MANIFEST
from gpussl.runtime import store

REGISTER = ".sweep"
LOCK, WRITTEN = "lock", "written.json"


@dataclass(frozen=True)
class SweepJob:
    """A job that has started.

    Attributes
    ----------
    number : int
        From 0.
    folder : Path
    name : str
        The path of its folder from that of the sweep.
    overrides : tuple of str
        From the command line.
    error : str
        Why it failed; empty if it did not.
    digest : str
        The SHA-256 of its manifest; empty until it is finished.

    Examples
    --------
    >>> SweepJob(0, Path("outputs/0"), "0", ("seed=0",)).problem
    'expected a finished run in outputs/0, found none'
    """

    number: int
    folder: Path
    name: str
    overrides: tuple[str, ...]
    error: str = ""
    digest: str = ""

    @property
    def problem(self) -> str:
        """Why the job has no results: its error, or what is missing; empty if it is finished and whole."""
        if self.error:
            return self.error
        if not self.digest:
            return f"expected a finished run in {self.folder}, found none"
        if manifest.of_whole_run(self.folder) is None or self.digest != store.file_digest(self.folder / MANIFEST):
            return f"expected all files of the run in {self.folder}, found some missing or changed"
        return ""


def register(sweep: Path, job: SweepJob) -> None:
    """Write a job into the folder of its sweep.

    Raises
    ------
    ConfigError
        Another job has the same folder.
    StoreError
        The file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     register(Path(folder), SweepJob(0, Path("a"), "a", ("seed=0",)))
    ...     register(Path(folder), SweepJob(1, Path("a"), "a", ("seed=1",)))
    Traceback (most recent call last):
    gpussl.errors.ConfigError: hydra.sweep.subdir: expected a folder for each job, found jobs 0 and 1 in a; add
        ${hydra.job.num} to it
    """
    check_folders([*(other for other in registered(sweep) if other.number != job.number), job])
    described = {**dataclasses.asdict(job), "folder": str(job.folder)}
    store.write_text(sweep / REGISTER / f"{job.number}.json", json.dumps(described, indent=1))


def check_folders(found: Iterable[SweepJob]) -> None:
    """Raise ConfigError if two jobs have one folder.

    >>> check_folders([SweepJob(0, Path("a"), "a", ()), SweepJob(1, Path("b"), "b", ())])
    """
    numbers: dict[Path, int] = {}
    for job in found:
        other = numbers.setdefault(job.folder, job.number)
        if other != job.number:
            raise ConfigError(
                f"hydra.sweep.subdir: expected a folder for each job, found jobs {other} and {job.number} in "
                f"{job.folder}; add ${{hydra.job.num}} to it"
            )


def registered(sweep: Path) -> list[SweepJob]:
    """Return the jobs that have started since the sweep began, in order. StoreError if an entry cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     register(Path(folder), SweepJob(0, Path("a"), "a", ("seed=0",)))
    ...     [job.overrides for job in registered(Path(folder))]
    [('seed=0',)]
    """
    found = []
    for path in (sweep / REGISTER).glob("*.json"):
        if path.name == WRITTEN:
            continue
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            number, given = int(entry["number"]), tuple(map(str, entry["overrides"]))
            texts = (str(entry["error"]), str(entry["digest"]))
            found.append(SweepJob(number, Path(entry["folder"]), str(entry["name"]), given, *texts))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise StoreError(
                f"{path}: expected the entry of a job, found another file ({type(error).__name__}); run the sweep again"
            ) from error
    return sorted(found, key=lambda job: job.number)


def begin(sweep: Path, names: Iterable[str]) -> int:
    """Lock the folder of a sweep, and forget the jobs of an earlier one.

    Parameters
    ----------
    sweep : Path
    names : iterable of str
        The files that gathering the results will write.

    Returns
    -------
    int
        A file descriptor: the folder is locked until it is closed, or the process ends.

    Raises
    ------
    ConfigError
        Another sweep is at work in the folder, or it contains a single run, or other files of these names.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lock = begin(Path(folder), ["results.csv"])
    ...     begin(Path(folder), ["results.csv"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    gpussl.errors.ConfigError: hydra.sweep.dir: expected a folder without a sweep at work, found one in ...; name
        another folder
    """
    manifest.check_folder(sweep)
    ours, register = written(sweep), sweep / REGISTER
    if os.path.lexists(register) and (register.is_symlink() or not (register / LOCK).is_file()):
        raise ConfigError(f"hydra.sweep.dir: expected no other {REGISTER} in {sweep}, found one; name another folder")
    if not register.exists():
        names = [*names, "multirun.yaml"]  # Hydra writes it
    for name in names:
        if name not in ours and os.path.lexists(sweep / name):
            raise ConfigError(
                f"hydra.sweep.dir: expected a folder where no other {name} is, found one in {sweep}; name another"
            )
    (sweep / REGISTER).mkdir(parents=True, exist_ok=True)
    lock = os.open(sweep / REGISTER / LOCK, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ConfigError(
            f"hydra.sweep.dir: expected a folder without a sweep at work, found one in {sweep}; name another folder"
        ) from None
    for path in (sweep / REGISTER).glob("[0-9]*.json"):
        path.unlink()
    return lock


def written(sweep: Path) -> dict[str, str]:
    """Return the files that an earlier gathering has written, by path in the folder of the sweep, with their checksums.

    Examples
    --------
    >>> written(Path("nowhere"))
    {}
    """
    try:
        found = json.loads((sweep / REGISTER / WRITTEN).read_text(encoding="utf-8"))
        return {str(name): str(checksum) for name, checksum in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def clear(sweep: Path, names: Iterable[str]) -> None:
    """Remove the files of an earlier gathering. One that was changed since is kept under another name.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder), "results.csv", "a")
    ...     _ = Path(folder, "results.csv").write_text("b")
    ...     clear(Path(folder), ["results.csv"])
    ...     [path.name for path in Path(folder).glob("*.*")]
    ['.sweep', 'results.csv.changed1']
    """
    known = written(sweep)
    for name in set(names) & set(known):
        path = sweep / name
        if store.has_digest(path, known[name]):
            path.unlink()
        elif os.path.lexists(path):
            store.keep_changed(path)


def write(sweep: Path, name: str, content: str | bytes) -> None:
    """Write a file of the sweep, and its checksum first, so that it is known as ours whatever happens between.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder), "results.csv", "a")
    ...     [(name, checksum[:4]) for name, checksum in written(Path(folder)).items()]
    [('results.csv', 'ca97')]
    """
    data = content.encode() if isinstance(content, str) else content
    noted = {**written(sweep), name: hashlib.sha256(data).hexdigest()}
    store.write_text(sweep / REGISTER / WRITTEN, json.dumps(noted, sort_keys=True))
    with store.atomic_path(sweep / name) as part:
        part.write_bytes(data)
