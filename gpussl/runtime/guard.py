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

TARGETS = (
    "gpussl.runtime.command.Gather",
    "hydra._internal.core_plugins.",  # the launcher and sweeper of Hydra itself
    "hydra.experimental.callbacks.",
    "hydra_plugins.",  # launchers and sweepers that the user has installed
    "optuna.samplers.",  # an argument of Hydra's Optuna sweeper
)
HANDLERS = ("logging.StreamHandler", "logging.NullHandler")
FILE_HANDLER, IN_RUN_FOLDER = "logging.FileHandler", "${hydra.runtime.output_dir}/"
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
VARIABLES = re.compile(r"[A-Z]+_NUM_THREADS|(CUDA|OMP|MKL|KMP|NUMBA|HF|TORCH|XDG_CACHE)_[A-Z_]+|TOKENIZERS_PARALLELISM")


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
    read = source.load_config

    @functools.wraps(read)
    def checked_and_read(self: ConfigSource, config_path: str) -> ConfigResult:
        path = Path(self.path, config_path).with_suffix(".yaml")
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
    """The number of nodes below one, with each use of an anchor counted; infinitely many if it contains itself."""
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
        if name in ("_target_", "()"):
            if name == "()" or not str(value).startswith(TARGETS):
                _refuse(path, "a class of Hydra or of one of its plugins", value)
        elif name == "_partial_" or name == "_args_":
            _refuse(path, "no such setting", value)
    for group in ("job_logging", "hydra_logging"):
        _check_logging(settings.get(group), f"hydra.{group}")
    for name, value in ((settings.get("job") or {}).get("env_set") or {}).items():
        if not VARIABLES.fullmatch(str(name)):
            _refuse(f"hydra.job.env_set.{name}", "a variable of threads, devices or caches", value)


def _check_logging(settings: Any, path: str) -> None:
    if not isinstance(settings, dict):
        return
    for name, handler in (settings.get("handlers") or {}).items():
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
    return path.startswith(IN_RUN_FOLDER) and ".." not in path


def _leaves(node: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    """The path, the last name and the value of each setting below a node."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in items:
        if isinstance(value, (dict, list)):
            yield from _leaves(value, f"{path}.{name}")
        else:
            yield f"{path}.{name}", str(name), value


def _refuse(path: str, expected: str, found: Any) -> None:
    raise ConfigError(f"{path}: expected {expected}, found {found}; leave it out")
