"""The two streams: results on stdout, progress and messages on stderr."""

import sys

from rich.console import Console

PIPE_WIDTH = 140  # columns where there is no terminal to ask: wide enough for the widest table


def _console(stderr: bool) -> Console:
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, width=None if is_terminal else PIPE_WIDTH, highlight=False)


stdout = _console(stderr=False)
stderr = _console(stderr=True)
