"""The two streams: results on stdout, progress and messages on stderr."""

import sys

from rich.console import Console
from rich.progress import Progress, ProgressColumn

PIPE_WIDTH = 140  # columns where there is no terminal to ask: wide enough for the widest table


def _console(stderr: bool) -> Console:
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, width=None if is_terminal else PIPE_WIDTH, highlight=False)


stdout = _console(stderr=False)
stderr = _console(stderr=True)


def progress(*columns: ProgressColumn) -> Progress:
    """A progress bar on stderr that leaves nothing behind; where there is no terminal it writes nothing."""
    return Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal)


def say(text: str) -> None:
    """A message on stderr, as it is."""
    stderr.print(text, markup=False, soft_wrap=True)
