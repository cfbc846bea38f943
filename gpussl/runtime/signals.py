"""Signals that end the process: all of them clean up as Ctrl-C does."""

import _thread
import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import Any

received: list[int] = []  # kept, because a library may turn the exception into another one

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Raise KeyboardInterrupt for each signal that would end the process, unless it is ignored, as nohup does.

    Afterwards they end it at once: there is nothing left to clean up, and an exception could only be printed.

    >>> with installed():
    ...     signal.getsignal(signal.SIGTERM) == interrupt
    True
    """
    numbers = [number for number in ENDING if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)]
    sys.unraisablehook, of_others = pass_on, sys.unraisablehook
    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        sys.unraisablehook = of_others


def interrupt(number: int, frame: object) -> None:
    """Note a signal, and raise KeyboardInterrupt.

    >>> try:
    ...     interrupt(signal.SIGTERM, None)
    ... except KeyboardInterrupt:
    ...     print(received.pop() == signal.SIGTERM)
    True
    """
    received.append(number)
    raise KeyboardInterrupt


def pass_on(unraisable: Any) -> None:
    """Raise KeyboardInterrupt again, if Python could not raise it where the signal arrived, such as in `__del__`.

    As `sys.unraisablehook`. Python would print the exception, and go on as if there had been no signal.

    >>> signals_before = signal.signal(signal.SIGTERM, lambda number, frame: print("raised"))
    >>> received.append(signal.SIGTERM)
    >>> class Unraisable:
    ...     exc_type = KeyboardInterrupt
    >>> pass_on(Unraisable)
    raised
    >>> _ = signal.signal(received.pop(), signals_before)
    """
    if issubclass(unraisable.exc_type, KeyboardInterrupt) and received:
        _thread.interrupt_main(signal.Signals(received[-1]))
    else:
        sys.__unraisablehook__(unraisable)


def exit_code() -> int:
    """Return the exit code that shells give to a program ended by the latest signal.

    >>> exit_code()
    130
    """
    return 128 + (received or [signal.SIGINT])[-1]
