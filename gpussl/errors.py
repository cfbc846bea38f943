"""Errors that the user can fix."""


class GpusslError(Exception):
    """Base of all errors that the user can fix: the command prints one line, no traceback, and exits with code 2.

    The message says what was expected, what was found, where, and what to do.

    Examples
    --------
    >>> from gpussl.runtime.store import load
    >>> try:
    ...     load("missing.safetensors")
    ... except GpusslError as error:
    ...     print(type(error).__name__)
    StoreError
    """


class ConfigError(GpusslError):
    """A setting has the wrong name, the wrong type or a value out of range."""


class DataError(GpusslError):
    """A data file is missing, broken or not the expected one."""


class DataNotFoundError(DataError):
    """None of the sources has the data."""


class DeviceError(GpusslError):
    """The requested device cannot be used."""


class StoreError(GpusslError):
    """A saved artifact is missing, broken or of an unknown kind."""


class InputError(GpusslError, ValueError):
    """An array given to a function or a model has the wrong shape or values."""
