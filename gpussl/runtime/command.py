"""The command line: Hydra's, but each error is one line and exit code 2."""

import argparse
import contextlib
import dataclasses
import errno
import os
import re
import string
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError

from gpussl import __version__
from gpussl.errors import DeviceError, GpusslError
from gpussl.runtime import config, console, guard, signals
from gpussl.runtime.names import did_you_mean, nearest, unknown_setting

REFUSED = 2  # the exit code of an error that the user can fix
FULL_ERROR = "HYDRA_FULL_ERROR"  # Hydra's own variable: 1 shows tracebacks
WISHED = "GPUSSL_FULL_ERROR"  # what the user has set it to, for processes that a launcher starts
os.environ.setdefault(WISHED, os.environ.get(FULL_ERROR, "0"))
SHOWS_TRACEBACKS = os.environ[WISHED] == "1"


def start(task: Callable[[DictConfig], None], translate: Callable[[list[str]], list[str]] = list) -> None:
    """Compose the configuration from the command line, and call `task` with it, in a sweep once per job.

    `translate` turns the arguments of the command into those of Hydra.

    >>> from unittest import mock
    >>> with mock.patch.object(sys, "argv", ["gpussl", "--version"]):
    ...     start(print)  # doctest: +ELLIPSIS
    gpussl ...
    """
    with console.streams():
        if "--version" in sys.argv[1:]:
            console.stdout.print(f"gpussl {__version__}")
            return
        given = sys.argv[1:]
        with refusing():
            sys.argv[1:] = translate(given)
        if sys.argv[1:] != given:
            _never_sweep()
        arguments = _arguments()
        is_sweep = arguments.multirun or "hydra.mode=MULTIRUN" in arguments.overrides
        # Hydra prints its errors itself and exits with 1, unless this documented variable asks it to raise them
        os.environ[FULL_ERROR] = "1"
        config.register()
        guard.install()
        only_shows = arguments.help or arguments.cfg or arguments.info
        with refusing(arguments.overrides, is_sweep=is_sweep, may_break_pipe=bool(only_shows)):
            if arguments.help:
                console.stdout.print(_help(arguments), soft_wrap=True)
                return
            hydra.main(version_base="1.3", config_path=str(config.folder()), config_name="config")(task)()


def _never_sweep() -> None:
    """Spare Hydra to compose the configuration once more, to find out whether it asks for a sweep."""
    Hydra.get_mode = lambda self, config_name, overrides: RunMode.RUN  # type: ignore[method-assign]


@contextlib.contextmanager
def refusing(overrides: Sequence[str] = (), *, is_sweep: bool = False, may_break_pipe: bool = False) -> Iterator[None]:
    """Turn an exception of the block into one line on stderr and exit code 2.

    Parameters
    ----------
    overrides : sequence of str
        The overrides, if the block composes a configuration from them.
    is_sweep : bool
        Whether an override may list several values, one per job.
    may_break_pipe : bool
        Whether the block only prints, so that a reader that has closed the pipe, as `head` does, is no error.

    >>> import sys
    >>> with contextlib.redirect_stderr(sys.stdout), contextlib.suppress(SystemExit), refusing():
    ...     raise GpusslError("seed: expected a whole number, found x")
    gpussl: error: seed: expected a whole number, found x
    """
    try:
        yield
    except Exception as error:
        if may_break_pipe and isinstance(error, BrokenPipeError):
            sys.exit(0)
        if signals.received:  # a library has turned the interrupt into another exception
            raise KeyboardInterrupt from error
        if SHOWS_TRACEBACKS:
            traceback.print_exc()
        refuse(explain(error, overrides, is_sweep=is_sweep))


def refuse(message: str) -> NoReturn:
    """Print an error in one line, and exit with code 2.

    >>> with contextlib.redirect_stderr(sys.stdout), contextlib.suppress(SystemExit):
    ...     refuse("seed: expected a whole number, found x")
    gpussl: error: seed: expected a whole number, found x
    """
    console.say(f"gpussl: error: {message}")
    sys.exit(REFUSED)


def told(error: Exception) -> Exception:
    """Return the error itself or, if the system caused it, one that says what to do.

    The system's causes are too little memory, and disks or folders that cannot be written.

    >>> str(told(MemoryError("no 5 GB"))).partition(";")[0]
    'memory: expected enough for this run, found no more (no 5 GB)'
    """
    # a library may raise further errors while it cleans up after its allocator failed, so the whole chain is searched
    for cause in _causes(error):
        if isinstance(cause, MemoryError) or type(cause).__name__ == "OutOfMemoryError":  # CuPy's, PyTorch's
            said = str(cause).strip().splitlines() or ["out of memory"]
            return DeviceError(
                f"memory: expected enough for this run, found no more ({said[0]}); take fewer points or clusters, "
                "close what else needs memory, or take device=cpu and a memory_limit, which leaves large data on disk"
            )
    # OmegaConf and Hydra wrap the errors of functions that they call
    is_wrapped = isinstance(error, (OmegaConfBaseException, HydraException))
    for cause in _causes(error) if is_wrapped else [error]:
        if isinstance(cause, GpusslError):
            return cause
        if isinstance(cause, OSError) and not isinstance(cause, HydraException):
            return GpusslError(_of_the_system(cause))
    return error


def explain(error: Exception, overrides: Sequence[str] = (), *, is_sweep: bool = False) -> str:
    """Return the message of an error in one line.

    Hydra's messages have no fixed form to parse, so the overrides are checked again here, one by one. If all are right,
    the first line of Hydra's message is returned.

    >>> explain(HydraException("Nothing fits.\\nSearch path: ..."))
    'Nothing fits.'
    """
    known = told(error)
    if isinstance(known, GpusslError):
        return str(known)
    if isinstance(error, OverrideParseException):
        return _syntax(error.override)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _missing(error.missing_cfg_file, error.options or ())
    # if the check itself fails, the first error still counts
    with contextlib.suppress(HydraException, OmegaConfBaseException):
        complaint = _complaint(overrides, is_sweep)
        if complaint:
            return complaint
    for cause in _causes(error):
        if isinstance(cause, OmegaConfBaseException) and cause.full_key:
            if "Cannot merge DictConfig" in str(cause):
                return f"{cause.full_key}: expected settings by name, found a list or a single value"
            return f"{cause.full_key}: {_first_line(cause)}"
    composing = re.match(r"In '(.+)': \w+ raised while composing config:", _first_line(error))
    if composing:
        found = _first_line(list(_causes(error))[-1])
        return f"{composing[1]}.yaml: expected settings that fit each other, found others ({found})"
    if isinstance(error, (HydraException, ValueError)):
        return _first_line(error)
    return f"{type(error).__name__}: {_first_line(error)}; {FULL_ERROR}=1 shows where"


def end_interrupted(folder: Path, project: str | None = None) -> NoReturn:
    """Say what became of an interrupted run or of a project, and exit with the code of its signal.

    >>> with contextlib.redirect_stderr(sys.stdout), contextlib.suppress(SystemExit):
    ...     end_interrupted(Path("nowhere"))
    gpussl: interrupted; nowhere has no results
    """
    from gpussl.report import manifest

    config.discard_fresh(folder)
    state = "holds a finished run" if manifest.of_whole_run(folder) else "has no results"
    console.say(f"gpussl: interrupted; {f'{folder} {state}' if project is None else f'{project} is as it was'}")
    sys.exit(signals.exit_code())


def register_job(error: str = "", *, is_finished: bool = False) -> None:
    """Register the job at work in the folder of its sweep; at its end, with its error or the digest of its manifest.

    Raises
    ------
    GpusslError
        Another job of the sweep has the same folder, or the entry cannot be written.

    >>> import tempfile
    >>> from unittest import mock
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     names = {"runtime": {"output_dir": f"{folder}/0", "cwd": "/"}, "sweep": {"dir": folder}}
    ...     made_of = OmegaConf.create({**names, "job": {"num": 0}, "overrides": {"task": ["seed=3"]}})
    ...     with mock.patch.object(HydraConfig, "get", return_value=made_of):
    ...         register_job()
    ...     [path.name for path in Path(folder, ".sweep").iterdir()]
    ['0.json']
    """
    from gpussl.report.jobs import SweepJob, register
    from gpussl.report.manifest import MANIFEST
    from gpussl.runtime import store

    hydra_cfg = HydraConfig.get()
    folder = Path(hydra_cfg.runtime.output_dir)
    sweep = Path(hydra_cfg.runtime.cwd, hydra_cfg.sweep.dir)  # Hydra may have changed the working directory
    name, digest = os.path.relpath(folder, sweep), store.file_digest(folder / MANIFEST) if is_finished else ""
    register(sweep, SweepJob(int(hydra_cfg.job.num), folder, name, tuple(hydra_cfg.overrides.task), error, digest))


def hydras_files(cfg: DictConfig) -> dict[str, str]:
    """Return the files that Hydra writes into `.hydra` by default. The run writes them once it has claimed its folder.

    >>> from unittest import mock
    >>> made_of = OmegaConf.create({"overrides": {"task": ["seed=3"]}})
    >>> with mock.patch.object(HydraConfig, "get", return_value=made_of):
    ...     hydras_files(OmegaConf.create({"seed": 3}))[".hydra/overrides.yaml"]
    '- seed=3\\n'
    """
    hydra_cfg = HydraConfig.get()
    texts = {"config": cfg, "hydra": OmegaConf.create({"hydra": hydra_cfg}), "overrides": hydra_cfg.overrides.task}
    return {f".hydra/{name}.yaml": OmegaConf.to_yaml(part) for name, part in texts.items()}


class Gather(Callback):
    """Hydra's callback of a multirun: refuses the folder of a single run, and gathers the results of the jobs.

    Hydra turns exceptions in a callback into warnings, so here they end the process.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gather, cfg = Gather(), OmegaConf.create({"hydra": {"sweep": {"dir": folder}}})
    ...     gather.on_multirun_start(cfg)
    ...     with contextlib.redirect_stderr(sys.stdout), contextlib.suppress(SystemExit):
    ...         gather.on_multirun_end(cfg)
    gpussl: error: hydra.sweep: expected jobs, found none that has started; see the messages above
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        """Lock the folder of the sweep."""
        with refusing():
            from gpussl.report import jobs, sweep  # late: --help and errors do not wait for them

            self.lock = jobs.begin(Path(config.hydra.sweep.dir), sweep.FILES)

    def on_multirun_end(self, config: DictConfig, **kwargs: object) -> None:
        """Gather the results of the jobs."""
        try:
            with refusing():
                from gpussl.report import sweep

                sweep.finish(Path(config.hydra.sweep.dir))
        finally:
            os.close(self.lock)


def _arguments() -> argparse.Namespace:
    """The command line as Hydra parses it, with errors in one line."""
    parser = get_args_parser()

    def refuse_arguments(message: str) -> NoReturn:
        refuse(f"{message}; see gpussl --help, and gpussl --hydra-help for Hydra's own options")

    parser.error = refuse_arguments  # type: ignore[method-assign]
    arguments = parser.parse_args()
    if arguments.experimental_rerun is not None:
        refuse("--experimental-rerun: expected no pickled configuration, found one; gpussl loads no pickles")
    return arguments


def _help(arguments: argparse.Namespace) -> str:
    """Hydra's answer to --help, in half the time: Hydra would also list all groups in its own format."""
    with hydra.initialize_config_dir(str(config.folder()), version_base="1.3"):
        cfg = hydra.compose("config", arguments.overrides, return_hydra_config=True)
    settings = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    shown = OmegaConf.to_yaml(settings, resolve=arguments.resolve)
    return string.Template(cfg.hydra.help.template).substitute(CONFIG=shown)


def _complaint(overrides: Sequence[str], is_sweep: bool) -> str | None:
    """The error in the first wrong override."""
    parser = OverridesParser.create()
    parsed = [parser.parse_override(text) for text in overrides]
    for item in parsed:
        if item.is_sweep_override() and not is_sweep:
            key, _, value = str(item.input_line).partition("=")
            is_single = key in {field.name for field in dataclasses.fields(config.Config)} and not config.choices(key)
            cure = "" if is_single else f", or make them a list: {key}=[{value}]"
            return f"{key}: expected one value, found {value}; add -m to run each{cure}"
    choices = [item for item in parsed if config.choices(item.key_or_group)]
    settings = [item for item in parsed if item not in choices]
    for item in choices:
        complaint = _wrong_choice(item)
        if complaint:
            return complaint
    with hydra.initialize_config_dir(str(config.folder()), version_base="1.3"):
        chosen = [str(item.input_line) for item in choices if not item.is_sweep_override()]
        cfg = hydra.compose("config", chosen, return_hydra_config=True)
    return next(filter(None, (_wrong_setting(item, cfg) for item in settings)), None)


def _missing(path: str, options: Sequence[str]) -> str:
    """The error in a choice without a file, such as data/nothing."""
    group, _, name = path.rpartition("/")
    offered = options or list(config.choices(group))
    if not offered:
        return f"{group or '--config-name'}: expected a configuration file of that name, found no {name}"
    return f"{group}: expected one of {', '.join(offered)}, found {name}{did_you_mean(nearest(name, offered))}"


def _wrong_choice(item: Override) -> str | None:
    """The error in an override of a choice, such as data=mnist."""
    group, line = item.key_or_group, str(item.input_line).lstrip("+~")
    has_choice = group in {field.name for field in dataclasses.fields(config.Config)}
    if item.is_delete():
        return f"{group}: expected a choice, found {item.input_line}; choose one with {group}=..."
    if not isinstance(item.value(), (str, list)) and not item.is_sweep_override():
        return f"{group}: expected one of {', '.join(config.choices(group))}, found {item.value()}"
    if has_choice and item.is_add():
        return f"{group}: expected {line}, found a + before it; leave it out, there is a choice already"
    if not has_choice and not item.is_add():
        return f"{group}: expected +{line}, found no + before it; there is no choice yet"
    return None


def _wrong_setting(item: Override, cfg: DictConfig) -> str | None:
    """The error in an override of a setting, such as cluster.n_clusters=10."""
    key, line = item.key_or_group, str(item.input_line).lstrip("+~")
    _, equals, value = line.partition("=")
    settings: Any = OmegaConf.to_container(cfg)
    if not item.is_hydra_override():
        del settings["hydra"]
    complaint = unknown_setting(settings, key, equals + value)
    adds = item.is_add() or item.is_force_add()
    if complaint and adds and "." in key:
        return None  # + adds a new setting
    if complaint:
        group, _, name = key.partition(".")
        name = name.partition(".")[0]
        if name in config.choices(group):
            return f"{group}.{name}: expected a choice of {group}, found none of that name; add {group}=[{name}]"
        return complaint
    if item.is_delete() or item.is_sweep_override():
        return None
    if item.is_add() and not isinstance(item.value(), (dict, list)):
        return f"{key}: expected a new setting after +, found one that exists; leave out the +"
    try:
        OmegaConf.update(cfg, key, item.value())
    except ValidationError:
        return config.wrong_value(key, value)
    return None


def _syntax(override: str) -> str:
    """The error in an override that Hydra cannot parse."""
    key, equals, value = override.partition("=")
    if not equals:
        return f"{override}: expected key=value, found no =; see gpussl --help"
    if re.search(r"""["'\[\]{}()]""", value):
        return f"{override}: expected a value, found brackets or quotes that do not match; close or quote them"
    return f"""{override}: expected a value, found one that needs quotes; write '{key}="{value}"'"""


def _of_the_system(error: OSError) -> str:
    """The error in a file, a folder or the disk."""
    where = "" if error.filename is None else f"{error.filename}: "
    found = error.strerror or _first_line(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{where}expected room on the disk, found none ({found}); free some, or write to another: hydra.run.dir=..."
        )
    cure = "runs are written to hydra.run.dir=..., stages to cache=..."
    return f"{where}expected a file or folder that can be used, found: {found}; {cure}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its chain of causes."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
