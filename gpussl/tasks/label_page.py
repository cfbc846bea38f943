"""The labelling page of a project: what it shows, and the rounds that it starts."""

import contextlib
import getpass
import hashlib
import itertools
import json
import os
import secrets
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpussl.data import decode
from gpussl.data.files import suffix_of
from gpussl.data.images import OTHERS
from gpussl.errors import ConfigError, DataError, GpusslError
from gpussl.label.page.classes import Classes
from gpussl.label.page.desk import LONGEST_NAME, Desk, Doubt, Material
from gpussl.runtime import config, console, signals
from gpussl.runtime.config import Job
from gpussl.runtime.names import expanded
from gpussl.tasks import project
from gpussl.tasks.project import Project

LARGEST = 1600  # pixels of the longer side of a picture on the page
PASSED_ON = ("device", "cache", "memory_limit")  # settings of the command that hold for the rounds that it starts
PAGE_LOCK = ".page.lock"
MOST_LINES = 100  # of what a round says
MOST_TO_CHECK = 5000  # points that were not accepted, on the page at once
TO_CHECK = "to check"  # why a point is asked that no round has asked for


class ProjectMaterial(Material):
    """The points of a project, as its files have them: nothing is loaded, so that the page is there at once.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks.example import answered
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     material = ProjectMaterial(answered(folder))
    >>> len(material.asked()), material.round(), material.has_pictures
    (10, 1, False)
    """

    def __init__(self, made: Project) -> None:
        self.name = made.folder.resolve().name.removesuffix(".gpussl")
        self.key = _digest(made.folder)
        self._made = made
        self._source = made.source
        self.refresh()

    def refresh(self) -> None:
        """See `Material.refresh`."""
        self._rounds = self._made.rounds()
        self._learned = self._made.latest("learned")
        self._fields: dict[str, list[tuple[str, str]]] = {}
        self._groups: list[list[str]] = []
        for asked in self._rounds:
            path = self._made.round_folder(asked.number) / project.FIELDS
            self._fields |= {row["id"]: more for row, more in project.read_rows(path, ("id",))}
            self._groups += self._made.look_alikes(asked.number)
        self._doubts, self._to_check = [], dict[str, str]()
        if self._learned is not None:
            header = ("id", "label", "predicted", "probability")
            for row, more in project.read_rows(self._learned / project.DOUBTS, header):
                with contextlib.suppress(ValueError):  # somebody has changed the file
                    self._doubts.append(Doubt(row["id"], row["predicted"], float(row["probability"])))
                    self._fields.setdefault(row["id"], more)
        accepting = self._made.latest_with("learned", project.TO_CHECK)
        if accepting is not None:
            answers = self._made.answers()
            rows = project.read_rows(accepting / project.TO_CHECK, ("id", "label", "predicted", "probability"))
            left = ((row["id"], more) for row, more in rows if row["id"] not in answers)
            for item, more in itertools.islice(left, MOST_TO_CHECK):
                self._to_check[item] = TO_CHECK
                self._fields.setdefault(item, more)
        first = next((item for asked in self._rounds for item in asked.asked), "")
        name = first if self._source.is_dir() else self._source.name
        is_picture = self._made.data.get("choice") == "auto" and suffix_of(name) not in OTHERS
        self.has_pictures = self._made.data.get("choice") == "images" or is_picture

    def ids(self) -> Sequence[str]:
        """See `Material.ids`."""
        return self._made.ids()

    def asked(self) -> Mapping[str, str]:
        """See `Material.asked`; the latest round comes first, and what was not accepted comes last."""
        of_rounds = {item: why for asked in reversed(self._rounds) for item, why in asked.asked.items()}
        return of_rounds | {item: why for item, why in self._to_check.items() if item not in of_rounds}

    def groups(self) -> Sequence[Sequence[str]]:
        """See `Material.groups`."""
        return self._groups

    def doubts(self) -> Sequence[Doubt]:
        """See `Material.doubts`."""
        return self._doubts

    def fields(self, item: str) -> Sequence[tuple[str, str]]:
        """See `Material.fields`."""
        return self._fields.get(item, ())

    def picture(self, item: str) -> tuple[bytes, str]:
        """See `Material.picture`."""
        path = self._source / item if self._source.is_dir() else self._source
        try:
            return decode.picture(str(path), LARGEST)
        except OSError as error:
            raise DataError(f"{item}: expected a picture, found: {error.strerror or error}") from error

    def said(self) -> Sequence[str]:
        """See `Material.said`."""
        if self._learned is None:
            return []
        with contextlib.suppress(OSError):
            return (self._learned / project.SUMMARY).read_text(encoding="utf-8").splitlines()
        return []

    def round(self) -> int:
        """See `Material.round`."""
        return len(self._rounds)


class RoundWorker:
    """Learns and chooses in processes of their own, while the page goes on.

    Parameters
    ----------
    folder : Path
        Of the project.
    settings : sequence of str
        Overrides for these commands.
    desk : Desk
        Looks at the project again after each command.

    Examples
    --------
    >>> RoundWorker(Path("mine.gpussl"), [], desk=None).state()
    {'is_running': False, 'lines': [], 'seconds': 0}
    """

    def __init__(self, folder: Path, settings: Sequence[str], desk: Desk) -> None:
        self._folder, self._settings, self._desk = folder, list(settings), desk
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._started, self._ended = 0.0, 0.0
        self._is_stopped = False

    def start(self, n_labels: int) -> None:
        """Begin: learn, and then choose so many labels. ConfigError if it is at work already."""
        with self._lock:
            if self._is_running():
                raise ConfigError("round: expected none under way, found one; wait until it is done")
            self._lines, self._started, self._ended = [], time.monotonic(), 0.0
            self._thread = threading.Thread(target=self._work, args=(n_labels,), daemon=True)
            self._thread.start()

    def state(self) -> dict[str, Any]:
        """Return whether it is at work, what it has said, and for how many seconds it has been at work."""
        with self._lock:
            until = self._ended or time.monotonic()
            seconds = round(until - self._started) if self._started else 0
            return {"is_running": self._is_running(), "lines": self._lines[-MOST_LINES:], "seconds": seconds}

    def stop(self) -> None:
        """End the process that is at work, if there is one; the project is then as it was."""
        with self._lock:
            self._is_stopped = True
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _work(self, n_labels: int) -> None:
        try:
            if self._run("learn") and self._run("choose", f"n_labels={n_labels}"):
                self._say("The next round is ready, under “One by one”.")
        except (OSError, GpusslError) as error:
            self._say(f"gpussl: error: {error}")
        finally:
            self._ended = time.monotonic()

    def _run(self, word: str, *settings: str) -> bool:
        """Run a command on the project, and return whether it has succeeded."""
        command = [sys.executable, "-m", "gpussl", word, str(self._folder), *settings, *self._settings]
        self._say(f"gpussl {' '.join([word, self._folder.name, *settings])}")
        with self._lock:
            if self._is_stopped:
                return False
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                errors="replace",
            )  # fmt: skip
        with self._process as process:
            for line in process.stdout or ():
                if line.strip():
                    self._say(line.rstrip())
        if process.returncode:
            return False
        self._desk.reload()
        return True

    def _say(self, line: str) -> None:
        with self._lock:
            self._lines.append(line)


def show(job: Job, made: Project) -> None:
    """Serve the page until the person presses Ctrl-C.

    Raises
    ------
    ConfigError
        The packages for it are not installed, or its port is taken.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks.example import answered
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     show(config.job("task=label", "classifier=[]", "host=nowhere.invalid"), answered(folder))
    Traceback (most recent call last):
    gpussl.errors.ConfigError: host: expected a name or an address of this machine, found nowhere.invalid
    """
    try:
        from gpussl.label.page import server
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the page: expected the package {error.name}, found none; install it with pip install 'gpussl[label]', or "
            "take answers from a file with gpussl label PROJECT labels.csv"
        ) from error
    secret, preferred = _remembered(made.folder)
    with _only_page(made.folder), server.listen(job.host, job.port, preferred) as listening:
        port = listening.getsockname()[1]
        _remember(made.folder, secret, port)
        name = f"[{job.host}]" if ":" in job.host else job.host
        _announce(f"http://{name}:{port}/?token={secret}", job)  # whoever comes at once waits for the desk
        desk = Desk(ProjectMaterial(made), made.log, Classes(made.folder / project.CLASSES, job.classes))
        passed_on = [text for text in job.overrides if project.root_of(text) in PASSED_ON]
        worker = RoundWorker(made.folder.resolve(), passed_on, desk)
        by = (job.by if job.by is not None else _user())[:LONGEST_NAME]
        try:
            server.ready(server.app(desk, worker, secret, job.host, port, by)).run(sockets=[listening])
        except KeyboardInterrupt:
            signals.received.clear()  # this is how the page ends
        finally:
            worker.stop()
    if not project.is_project(made.folder):
        raise ConfigError(f"{made.folder}: expected the project as it was opened, found it gone; restore it")
    console.stdout.print(
        f"{len(made.labels()):,} points are labelled. {made.what_next()}",
        soft_wrap=True,
    )


@contextlib.contextmanager
def _only_page(folder: Path) -> Iterator[None]:
    """Keep other pages of the project away during the block: what is on whose screen is known to one alone."""
    with (folder / PAGE_LOCK).open("a") as file:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            complaint = "expected no other page of the project, found one; several people can use its address"
            project.take_lock(file, f"{folder}: {complaint}")
        yield


def _announce(url: str, job: Job) -> None:
    """Say where the page is, and open it."""
    from gpussl.label.page import server

    console.stdout.print(f"Label at\n  {url}\nEnd with Ctrl-C: every answer is saved at once.", soft_wrap=True)
    sys.stdout.flush()
    if job.host not in server.LOOPBACK:
        console.say(f"host: {job.host} can be reached from other machines, and what they send is not encrypted")
    if not job.no_browser:
        threading.Thread(target=_open, args=(url,), daemon=True).start()


def _open(url: str) -> None:
    with contextlib.suppress(webbrowser.Error, OSError):
        webbrowser.open(url)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return ""


def _page_file(folder: Path) -> Path:
    """Where the address of a project's page is kept: the user's own, for the token lets people in."""
    return expanded(config.cache_home()) / "gpussl" / "pages" / f"{_digest(folder)}.json"


def _digest(folder: Path) -> str:
    """A name that no other project on this machine has."""
    return hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]


def _remembered(folder: Path) -> tuple[str, int]:
    """The token and the port of the last time, so that a page that is still open goes on; or a new token."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        path = _page_file(folder)
        if path.stat().st_mode & 0o077 == 0:
            found = json.loads(path.read_text())
            token, port = str(found["token"]), int(found["port"])
            if len(token) >= 32 and 0 < port < 2**16:
                return token, port
    return secrets.token_urlsafe(32), 0


def _remember(folder: Path, token: str, port: int) -> None:
    path = _page_file(folder)
    with contextlib.suppress(OSError):  # the next start has then another token
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump({"token": token, "port": port}, file)
