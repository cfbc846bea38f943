"""What went wrong, said to the person who can mend it."""


class GpusslError(Exception):
    """A mistake the user can mend: shown as one line, without a traceback, with exit code 2.

    The message says what was expected, what was found, where, and what to do.
    """


class ConfigError(GpusslError):
    """A setting has the wrong name, type or range."""


class DataError(GpusslError):
    """A data file is missing, broken or not what it should be."""


class DataNotFoundError(DataError):
    """No source has the data."""


class DeviceError(GpusslError):
    """The device that was asked for cannot be used."""


class StoreError(GpusslError):
    """A saved artifact is missing, broken or of an unknown kind."""


class InputError(GpusslError, ValueError):
    """An array given to a function or a model has the wrong shape or values."""
