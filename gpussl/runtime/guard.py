"""What Hydra's own part of a configuration may do.

Hydra calls whatever a `_target_` in it names, and Python's logging whatever a `()` names. A folder of configurations
may come from a stranger, so each composed configuration is checked before Hydra acts on it.
"""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig, OmegaConf

from gpussl.errors import ConfigError

TARGETS = {
    "gpussl.runtime.command.Gather",
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    "hydra.experimental.callbacks.LogJobReturnCallback",
    "hydra.experimental.callbacks.PickleJobInfoCallback",
}
PLUGINS = re.compile(  # that the user has installed; a sampler is an argument of Hydra's Optuna sweeper
    r"hydra_plugins\.hydra_\w+\.\w+\.[A-Z]\w+(Launcher|Sweeper)|optuna\.samplers\.[A-Z]\w+Sampler"
)
CALLING = ("callbacks", "launcher", "sweeper", "job_logging", "hydra_logging")  # checked for references, too
REFERENCE = re.compile(r"\$\{(?!hydra\.)")  # to anything but what is checked here
HANDLERS = ("logging.StreamHandler", "logging.NullHandler")
FILE_HANDLER, IN_RUN_FOLDER = "logging.FileHandler", "${hydra.runtime.output_dir}/"
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
VARIABLES = re.compile(
    "[A-Z]+_NUM_THREADS|CUDA_VISIBLE_DEVICES|CUDA_DEVICE_ORDER|OMP_WAIT_POLICY|OMP_PROC_BIND|OMP_PLACES|KMP_AFFINITY"
)
PACKAGES = ("hydra", "hydra_plugins")
MAX_NODES = 100_000  # of a file, each use of an anchor counted


def install() -> None:
    """Check each file that Hydra reads, and each configuration that it composes, before Hydra acts on it.

    >>> install()
    """
    compose = ConfigLoaderImpl.load_configuration
    if hasattr(compose, "__wrapped__"):
        return
    Plugins.instance()  # registers the sources of files; importing the class would load its module a second time
    source: Any = SourcesRegistry.instance().resolve("file")
    package: Any = SourcesRegistry.instance().resolve("pkg")
    read, make = source.load_config, package.__init__

    @functools.wraps(make)
    def checked_and_made(self: ConfigSource, provider: str, path: str) -> None:
        name = path.removeprefix("pkg://")
        if name.split(".")[0] not in PACKAGES:  # reading it would import it
            _refuse("hydra.searchpath", f"a folder, or a package of {' or '.join(PACKAGES)}", path)
        make(self, provider, path)

    @functools.wraps(read)
    def checked_and_read(self: ConfigSource, config_path: str) -> ConfigResult:
        path = Path(self.path, self._normalize_file_name(config_path))
        if path.is_file():
            check_size(path)
        result: ConfigResult = read(self, config_path)
        return result

    @functools.wraps(compose)
    def composed_and_checked(self: ConfigLoaderImpl, *args: Any, **kwargs: Any) -> DictConfig:
        cfg = compose(self, *args, **kwargs)
        check_hydra(cfg)
        return cfg

    source.load_config = checked_and_read
    package.__init__ = checked_and_made
    ConfigLoaderImpl.load_configuration = composed_and_checked  # type: ignore[method-assign]


def check_size(path: Path) -> None:
    """Raise ConfigError if a YAML file has too many nodes: a few nested anchors can stand for billions.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.yaml")
    ...     _ = path.write_text("seed: 0")
    ...     check_size(path)
    """
    try:
        size = _size(yaml.compose(path.read_text(encoding="utf-8"), yaml.CSafeLoader), {})
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        problem = getattr(error, "problem", None) or type(error).__name__
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}: expected YAML, found another file ({problem}{where})") from error
    if size > MAX_NODES:
        raise ConfigError(f"{path}: expected at most {MAX_NODES:,} settings, found more; its anchors repeat them")


def _size(node: yaml.Node | None, known: dict[int, int]) -> int:
    """The number of nodes in one, with each use of an anchor counted; infinitely many if it contains itself."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in known:
        known[id(node)] = MAX_NODES + 1  # until it is counted
        children = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
        known[id(node)] = 1 + sum(_size(child, known) for child in children)
    return known[id(node)]


def check_hydra(cfg: DictConfig) -> None:
    """Raise ConfigError if Hydra's part of a configuration would call or set something that is not allowed.

    >>> check_hydra(OmegaConf.create({"hydra": {"callbacks": {"mine": {"_target_": "os.system"}}}}))
    Traceback (most recent call last):
    gpussl.errors.ConfigError: hydra.callbacks.mine._target_: expected a class of Hydra or of one of its plugins, found
        os.system; leave it out
    """
    if "hydra" not in cfg:
        return
    settings: Any = OmegaConf.to_container(cfg.hydra)  # unresolved: what is not composed yet is not known
    for path, name, value in _leaves(settings, "hydra"):
        if name == "_target_" and value not in TARGETS and not PLUGINS.fullmatch(str(value)):
            _refuse(path, "a class of Hydra or of one of its plugins", value)
        if name in ("()", "_partial_", "_args_"):
            _refuse(path, "no such setting", value)
    job = settings.get("job") or {}
    for group, node in [*((group, settings.get(group)) for group in CALLING), ("job.env_set", job.get("env_set"))]:
        for path, _, value in _leaves(node, f"hydra.{group}"):
            if isinstance(value, str) and REFERENCE.search(value):
                _refuse(path, "no reference but to hydra", value)
    for group in ("job_logging", "hydra_logging"):
        _check_logging(settings.get(group), f"hydra.{group}")
    for name, value in (job.get("env_set") or {}).items():
        if not VARIABLES.fullmatch(str(name)):
            _refuse(f"hydra.job.env_set.{name}", "a variable of threads or devices", value)
    if not re.fullmatch(r"[\w-]+|\?\?\?", str(job.get("name", "gpussl"))):
        _refuse("hydra.job.name", "a word", job["name"])
    for name in ("run", "sweep"):
        if not (settings.get(name) or {}).get("dir", "outputs"):
            _refuse(f"hydra.{name}.dir", "a folder", "none")
    if settings.get("output_subdir") is not None:
        _refuse("hydra.output_subdir", "null, as the run itself writes .hydra", settings["output_subdir"])


def _check_logging(settings: Any, path: str) -> None:
    handlers = (settings or {}).get("handlers") or {}
    for name, handler in handlers.items():
        kind = handler.get("class") if isinstance(handler, dict) else handler
        is_inside = kind == FILE_HANDLER and _is_inside(str(handler.get("filename")))
        if kind not in HANDLERS and not is_inside:
            _refuse(f"{path}.handlers.{name}", f"a stream, or a file in {IN_RUN_FOLDER}", handler)
    for leaf, name, value in _leaves(settings, path):
        is_stream = value in STREAMS
        if isinstance(value, str) and re.match(r"\w+://", value) and not is_stream:
            _refuse(leaf, f"one of {', '.join(STREAMS)}", value)
        if name == "class" and ".handlers." not in leaf:
            _refuse(leaf, "no class of its own", value)


def _is_inside(path: str) -> bool:
    return path.startswith(IN_RUN_FOLDER) and "/" not in path[len(IN_RUN_FOLDER) :]


def _leaves(node: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    """The path, the last name and the value of each setting below a node, or of the node itself if it has none."""
    if isinstance(node, str):
        yield path, path.rpartition(".")[2], node
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in items:
        if isinstance(value, (dict, list)):
            yield from _leaves(value, f"{path}.{name}")
        else:
            yield f"{path}.{name}", str(name), value


def _refuse(path: str, expected: str, found: Any) -> None:
    raise ConfigError(f"{path}: expected {expected}, found {found}; leave it out")
