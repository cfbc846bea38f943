"""The two streams: results on stdout, progress and messages on stderr.

Text is printed as it is: no markup, no emoji codes, no highlighting.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn

PIPE_WIDTH = 140  # columns where there is no terminal: enough for the widest table


class _Console(Console):
    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print. If that fails, say so once and print no more: the work goes on."""
        try:
            super().print(*args, **kwargs)
        except OSError as error:  # such as a full disk
            self.on_broken_pipe()
            if not self.stderr:
                say(f"gpussl: warning: stdout: expected to print, found: {error.strerror}; going on without it")

    def on_broken_pipe(self) -> None:
        """Stop printing if the reader has closed the pipe, as `head` does: the work goes on and keeps its exit code."""
        self.quiet = True
        _discard(self.file.fileno())


def _console(stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream is not None and stream.isatty() else PIPE_WIDTH
    return _Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


stdout = _console(stderr=False)
stderr = _console(stderr=True)


def progress(*columns: ProgressColumn) -> Progress:
    """Return a progress bar on stderr that disappears when done. Without a terminal it writes nothing.

    >>> bar = progress()
    >>> bar.live.transient
    True
    """
    return Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal)


def say(text: str) -> None:
    """Print a message on stderr, unwrapped.

    >>> with contextlib.redirect_stderr(sys.stdout):
    ...     say("3 of [4] jobs: done")
    3 of [4] jobs: done
    """
    stderr.print(text, soft_wrap=True)


@contextlib.contextmanager
def warning(what: str) -> Iterator[None]:
    """Turn an error in the block into a warning: what it shows is made already, and safe.

    >>> with contextlib.redirect_stderr(sys.stdout), warning("the page"):
    ...     raise ValueError("no fonts")
    gpussl: warning: could not finish the page (ValueError: no fonts); the results are not affected
    """
    try:
        yield
    except Exception as error:  # whatever libraries for drawing and printing raise
        found = " ".join(f"{type(error).__name__}: {error}".split())
        say(f"gpussl: warning: could not finish {what} ({found}); the results are not affected")


@contextlib.contextmanager
def streams() -> Iterator[None]:
    """Keep stdout and stderr from raising errors in the block and at exit.

    Characters that a stream cannot encode are replaced, output to a closed stream is discarded, and a reader that has
    closed its pipe is no error.

    >>> with streams():
    ...     print("done")
    done
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by >&- in the shell; opening it keeps data files off its descriptor
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - open until the process ends
        elif hasattr(stream, "reconfigure"):  # the stand-ins of tests and notebooks may lack it
            stream.reconfigure(errors="replace")
    raises, logging.raiseExceptions = logging.raiseExceptions, False  # else logging to a broken pipe prints a traceback
    try:
        yield
    finally:
        logging.raiseExceptions = raises
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:  # else Python would flush again at exit, and fail
                _discard(stream.fileno())


def _discard(descriptor: int) -> None:
    """Redirect a file descriptor to the null device."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
