"""Signals that end the process: all of them clean up as Ctrl-C does."""

import signal

received: list[int] = []  # kept, because a library may turn the exception into another one

INSTALLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def install() -> None:
    """Raise KeyboardInterrupt for each signal that would end the process, unless it is ignored, as nohup does.

    >>> install()
    >>> signal.getsignal(signal.SIGTERM) == interrupt
    True
    """
    for number in INSTALLED:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, interrupt)


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


def exit_code() -> int:
    """Return the exit code that shells give to a program ended by the latest signal.

    >>> exit_code()
    130
    """
    return 128 + (received or [signal.SIGINT])[-1]
