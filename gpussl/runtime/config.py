"""From Hydra's configuration to the stages of a run. Every name, type and range is checked before any work.

The fields of a stage's class are its settings, so the class is the schema.
"""

import contextlib
import dataclasses
import enum
import importlib
import itertools
import os
import re
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, get_origin

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gpussl.errors import ConfigError
from gpussl.protocols import Classifier, Clusterer, Features, Propagation, Representation, Selection, Source
from gpussl.runtime import plugins
from gpussl.runtime.names import check_file_name, did_you_mean, expanded, nearest, unknown_setting
from gpussl.runtime.params import check, describe, param
from gpussl.studies.published import Published

if TYPE_CHECKING:
    from gpussl.evaluate.learning_curve import LabelBudget

PACKAGE = Path(__file__).parent.parent
_fresh: set[Path] = set()  # the folders that this process has created
_fresh_parents: list[Path] = []  # and those around them
RESERVED = {"random", "all", "best_allocation"}  # names of the baselines, and of clusters named by true labels
TEST_STOPPED = "test_stopped"  # the suffix of a classifier that stops by the test labels
MIN_MEMORY = 2 * 10**9  # the libraries alone take a third of it
UNITS = {"M": 10**6, "G": 10**9, "T": 10**12, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
FOLDERS = (PACKAGE / "conf", PACKAGE.parent / "conf")  # in a wheel, in the repository


class Device(enum.Enum):
    """The device of a run.

    >>> [device.name for device in Device]
    ['auto', 'cuda', 'cpu']
    """

    auto = enum.auto()
    cuda = enum.auto()
    cpu = enum.auto()


class Task(enum.Enum):
    """The task.

    A study runs all stages; advise those needed to say how many labels are enough; the others work on a person's own
    data.

    >>> [task.name for task in Task]
    ['study', 'advise', 'choose', 'label', 'learn', 'predict', 'doubt']
    """

    study = enum.auto()
    advise = enum.auto()
    choose = enum.auto()
    label = enum.auto()
    learn = enum.auto()
    predict = enum.auto()
    doubt = enum.auto()


class Baselines(enum.Enum):
    """The baselines of propagation: none, as many random labels, or these and all labels.

    >>> [baselines.name for baselines in Baselines]
    ['none', 'random', 'all']
    """

    none = enum.auto()
    random = enum.auto()
    all = enum.auto()


@dataclass
class Config:
    """The schema of `conf/config.yaml`. The schema of a group is the class that its `_target_` names.

    >>> Config().seed, Config().baselines.name
    (0, 'random')
    """

    name: str = "gpussl"
    task: Task = Task.study
    plugins: list[str] = field(default_factory=list)
    seed: int = param(0, ge=0)
    device: Device = Device.auto
    baselines: Baselines = Baselines.random
    cache: str | None = None
    memory_limit: str | None = None
    data: Any = None
    represent: dict[str, Any] = field(default_factory=dict)
    views: int = param(1, ge=1)
    cluster: Any = None
    features: Any = None
    allocate: bool = False
    score_training: bool = False
    select: Any = None
    budget: Any = None
    project: str | None = None
    n_labels: int | None = param(None, ge=1)
    audit: float = param(0.3, ge=0, le=1)
    audit_more: int | None = param(None, ge=1)
    accept: float | None = param(None, gt=0, lt=1)
    confidence: float = param(0.95, gt=0, lt=1)
    target: float | None = param(None, gt=0, lt=1)
    classes: list[str] = field(default_factory=list)
    source: str | None = None
    output: str | None = None
    export: str = param("csv", choices=("csv", "label_studio", "folders", "coco"))
    copies: bool = False
    id_column: str | None = None
    label_column: str | None = None
    map: str = param("pca", choices=("pca", "umap", "none"))
    host: str = "127.0.0.1"
    port: int = param(0, ge=0, le=65535)
    no_browser: bool = False
    by: str | None = None
    propagate: dict[str, Any] = field(default_factory=dict)
    classifier: dict[str, Any] = field(default_factory=dict)
    published: list[Published] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """A checked configuration: the stages, ready to run.

    `resolved` is the YAML that they were made from, and `overrides` is what the command was given.

    >>> checked = job("classifier=[knn]", "select=random", "select.n_labels=20")
    >>> checked.select
    Random(n_labels=20)
    >>> list(checked.classifier)
    ['knn']
    """

    name: str
    task: str
    seed: int
    device: str
    baselines: str
    cache: Path | None
    memory_limit: int | None
    data: Source
    represent: dict[str, Representation]
    views: int
    cluster: Clusterer
    features: Features
    allocate: bool
    score_training: bool
    select: Selection
    propagate: dict[str, Propagation]
    classifier: dict[str, Classifier]
    published: list[Published]
    budget: "LabelBudget | None"
    project: Path | None
    n_labels: int | None
    audit: float
    audit_more: int | None
    accept: float | None
    confidence: float
    target: float | None
    classes: list[str]
    source: Path | None
    output: Path | None
    export: str
    copies: bool
    id_column: str | None
    label_column: str | None
    map: str
    host: str
    port: int
    no_browser: bool
    by: str | None
    data_settings: dict[str, Any]
    resolved: str
    overrides: tuple[str, ...] = ()


def folder() -> Path:
    """Return the folder of gpussl's configuration files.

    >>> (folder() / "config.yaml").is_file()
    True
    """
    return next(path for path in FOLDERS if path.is_dir())


def register() -> None:
    """Register the schema of `conf/config.yaml` with Hydra, and the functions that the files call with OmegaConf.

    >>> register()
    >>> OmegaConf.create({"cache": "${cache_home:}/gpussl"}).cache.endswith("/gpussl")
    True
    """
    ConfigStore.instance().store(name="schema", node=Config)
    for resolver in (cache_home, help_on_choices):
        OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True)
    # cached, as Hydra caches `now`: all jobs of a sweep share one folder
    OmegaConf.register_new_resolver("fresh_folder", fresh_folder, replace=True, use_cache=True)


def cache_home() -> str:
    """Return the folder for caches: `XDG_CACHE_HOME` if it is absolute, else `~/.cache`.

    References
    ----------
    XDG Base Directory Specification, version 0.8.

    Examples
    --------
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, XDG_CACHE_HOME="/var/cache"):
    ...     cache_home()
    '/var/cache'
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    return given if os.path.isabs(given) else "~/.cache"  # noqa: PTH117 - the text is returned unchanged


def fresh_folder(name: str, time: str) -> str:
    """Create a folder that no other process uses: `outputs/NAME/TIME`, or the first free one of TIME-1, TIME-2, ...

    Raises
    ------
    ConfigError
        The name is not valid for a folder.
    OSError
        The folder cannot be created.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
    ...     fresh_folder("mine", "12-00"), fresh_folder("mine", "12-00")
    ('outputs/mine/12-00', 'outputs/mine/12-00-1')
    """
    folder = Path("outputs", check_file_name(name, "name"))
    check_file_name(time, "time")
    number = 0
    while True:
        for parent in (folder.parent, folder):
            with contextlib.suppress(FileExistsError):
                parent.mkdir()
                _fresh_parents.append(parent.resolve())
        path = folder / (f"{time}-{number}" if number else time)
        try:
            path.mkdir()  # fails for all processes but one
        except FileExistsError:
            number += 1
        except FileNotFoundError:
            if not folder.parent.exists():  # a link to nowhere
                raise
            # else another process has just removed the empty parent
        else:
            _fresh.add(path.resolve())
            return str(path)


def discard_fresh(folder: Path) -> None:
    """Remove a folder that `fresh_folder` has created, if nothing but Hydra's own files is in it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
    ...     folder = Path(fresh_folder("mine", "12-00"))
    ...     discard_fresh(folder)
    ...     folder.exists()
    False
    """
    if folder.resolve() in _fresh and {path.name for path in folder.iterdir()} <= {".hydra"}:
        shutil.rmtree(folder)
        for parent in reversed(_fresh_parents):
            with contextlib.suppress(OSError):  # it has other runs
                parent.rmdir()
        _fresh_parents.clear()


def choices(group: str) -> dict[str, str]:
    """Return the choices of a group, each with the first sentence of its file; empty if there is no such group.

    >>> choices("cluster")["kmeans"]
    'k-means'
    """
    described = {}
    for path in sorted((folder() / group).glob("*.yaml")) if group else []:
        lines = itertools.takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
        text = " ".join(line.lstrip("# ") for line in lines if not line.startswith("# @package"))
        described[path.stem] = re.split(r"(?<=[.?]) ", text)[0]
    return described


def help_on_choices() -> str:
    """Return the choices of all groups for `--help`, in lines of at most 80 characters.

    >>> print(help_on_choices().split("\\n\\n")[-2].splitlines()[0])
    classifier: gpussl 'classifier=[auto,convnet]'
    """
    blocks = [_help_on(item.name, f"{item.name}=", item.type == dict[str, Any]) for item in dataclasses.fields(Config)]
    blocks.append(_help_on("experiment", "+experiment=", has_several=False))
    return "\n\n".join(filter(None, blocks)).replace("$", "$$")  # for Hydra's template


def _help_on(group: str, prefix: str, has_several: bool) -> str:
    known = choices(group)
    if not known:
        return ""
    first, *others = known
    example = f"'{prefix}[{first},{others[0]}]'" if has_several else f"{prefix}{first}"
    indent = 4 + max(map(len, known))
    lines = [f"{group}: gpussl {example}"]
    for name, text in known.items():
        named = f"  {name}".ljust(indent)
        lines += textwrap.wrap(text, 80, initial_indent=named, subsequent_indent=" " * indent)
    return "\n".join(lines)


def wrong_value(key: str, found: str) -> str | None:
    """Return the error message for a wrong value of a top-level setting; None if there is no such setting.

    >>> wrong_value("device", "gpu")
    'device: expected one of auto, cuda, cpu, found gpu; did you mean cuda?'
    >>> wrong_value("seed", "x")
    'seed: expected a whole number of at least 0, found x'
    """
    settings = {item.name: item for item in dataclasses.fields(Config)}
    if key not in settings:
        return None
    kind = settings[key].type
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        names = [member.name for member in kind]
        meant = "cuda" if found == "gpu" else nearest(found, names)
        return f"{key}: expected one of {', '.join(names)}, found {found}{did_you_mean(meant)}"
    return f"{key}: expected {describe(settings[key])}, found {found}"


def build(cfg: DictConfig, overrides: Sequence[str] = ()) -> Job:
    """Check a composed configuration and create its stages. `overrides` are kept in the job.

    Raises
    ------
    ConfigError
        A name, type or range is wrong. The message names it and says what was expected.

    Examples
    --------
    >>> register()
    >>> with initialize_config_dir(str(folder()), version_base="1.3"):
    ...     cfg = compose("config", ["classifier=[knn]", "cluster.n_clusters=10"])
    >>> build(cfg).cluster.n_clusters
    10
    """
    _check_top(cfg)
    plugins.allow(list(cfg.plugins))
    return Job(  # the classifiers last: PyTorch takes seconds to import
        name=cfg.name,
        task=cfg.task.name,
        seed=cfg.seed,
        device=cfg.device.name,
        baselines=cfg.baselines.name,
        cache=None if cfg.cache is None else expanded(cfg.cache),
        memory_limit=None if cfg.memory_limit is None else memory_limit(cfg.memory_limit),
        allocate=cfg.allocate,
        score_training=cfg.score_training,
        data=instantiate(cfg.data, "data", Source),
        represent=_instantiate_all(cfg.represent, "represent", Representation),
        views=cfg.views,
        cluster=instantiate(cfg.cluster, "cluster", Clusterer),
        features=instantiate(cfg.features, "features", Features),
        select=instantiate(cfg.select, "select", Selection),
        propagate=_instantiate_all(cfg.propagate, "propagate", Propagation),
        published=[Published(**entry) for entry in _plain(cfg.published)],
        budget=None if cfg.budget is None else _budget(cfg.budget),
        project=_path(cfg.project),
        n_labels=cfg.n_labels,
        audit=cfg.audit,
        audit_more=cfg.audit_more,
        accept=cfg.accept,
        confidence=cfg.confidence,
        target=cfg.target,
        classes=list(cfg.classes),
        source=_path(cfg.source),
        output=_path(cfg.output),
        export=cfg.export,
        copies=cfg.copies,
        id_column=cfg.id_column,
        label_column=cfg.label_column,
        map=cfg.map,
        host=cfg.host,
        port=cfg.port,
        no_browser=cfg.no_browser,
        by=cfg.by,
        data_settings=_plain(cfg.data),
        classifier=_classifiers(cfg.classifier),
        resolved=OmegaConf.to_yaml(cfg, resolve=True),
        overrides=tuple(overrides),
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else expanded(text)


def _classifiers(nodes: DictConfig) -> dict[str, Classifier]:
    found: dict[str, Classifier] = _instantiate_all(nodes, "classifier", Classifier)
    _check_names(found)
    return found


def _budget(node: Any) -> "LabelBudget":
    from gpussl.evaluate.learning_curve import LabelBudget  # late: few runs have one

    budget: LabelBudget = instantiate(node, "budget", LabelBudget)
    return budget


def job(*overrides: str) -> Job:
    """Compose and check a configuration from the overrides that the command takes.

    Raises
    ------
    ConfigError
        As `build`.

    Examples
    --------
    >>> job("data=digits", "classifier=[knn]", "seed=3").seed
    3
    """
    register()
    with initialize_config_dir(str(folder()), version_base="1.3"):
        return build(compose("config", list(overrides)), overrides)


def instantiate(node: Any, path: str, contract: type) -> Any:
    """Create the stage that a node of the configuration describes: `_target_` names its class, the rest are its fields.

    The class must be a dataclass of gpussl or of a plugin: a configuration cannot call anything else.

    Parameters
    ----------
    node : DictConfig
    path : str
        Position of the node in the configuration, for messages.
    contract : type
        Required base class, from `gpussl.protocols`.

    Raises
    ------
    ConfigError
        The class is not allowed, or a field has the wrong name, type or range.

    Examples
    --------
    >>> node = OmegaConf.create({"_target_": "gpussl.select.random.Random", "n_labels": 5})
    >>> instantiate(node, "select", Selection)
    Random(n_labels=5)
    """
    if not isinstance(node, DictConfig) or not isinstance(node.get("_target_"), str):
        raise ConfigError(f"{path}: expected settings with a _target_, found {node!r}; choose one with {path}=...")
    cls = _target(node._target_, f"{path}._target_", contract)
    try:
        settings = _plain(node)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path}: {str(error).splitlines()[0]}") from error
    settings.pop("_target_")
    try:
        checked = _plain(OmegaConf.merge(OmegaConf.structured(cls), settings))
        values = {item.name: checked[item.name] for item in dataclasses.fields(cls)}
    except OmegaConfBaseException as error:
        raise ConfigError(_explain(error, cls, settings, path)) from error
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{path}.{error}") from error


def memory_limit(text: str) -> int:
    """Convert a size such as "4GB" or "4GiB" to bytes. ConfigError if it is not a size, or below `MIN_MEMORY`.

    >>> memory_limit("4GB"), memory_limit("2.5GiB")
    (4000000000, 2684354560)
    """
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?) ?([MGT]i?)B", text)
    size = round(float(found[1]) * UNITS[found[2]]) if found else 0
    if size < MIN_MEMORY:
        raise ConfigError(f"memory_limit: expected a size of at least 2GB, such as 4GB or 2500MB, found {text[:40]}")
    return size


def _plain(node: Any) -> Any:
    """A node of the configuration as dicts and lists, with its references resolved."""
    return OmegaConf.to_container(node, resolve=True)


def _check_top(cfg: DictConfig) -> None:
    settings: dict[str, Any] = {item.name: None for item in dataclasses.fields(Config)}
    for key in map(str, cfg):
        complaint = unknown_setting(settings, key)
        if complaint:
            raise ConfigError(complaint)
    try:
        missing = sorted(str(key) for key in OmegaConf.missing_keys(cfg))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    if missing:
        raise ConfigError(f"{', '.join(missing)}: expected a value, found none")
    check_file_name(cfg.name, "name")
    for group in ("represent", "propagate", "classifier"):
        for key in map(str, cfg[group]):
            check_file_name(key, group)
    for name in ("propagate", "classifier"):
        if not cfg[name] and not cfg.allocate and cfg.task not in (Task.label, Task.predict):
            raise ConfigError(f"{name}: expected at least one choice, found none; choose with {name}=[...]")
    for name in RESERVED.intersection(str(key) for key in cfg.propagate):
        raise ConfigError(f"propagate.{name}: expected a name that no baseline has, found {name}; choose another")
    ranges = [item.name for item in dataclasses.fields(Config) if item.metadata]
    check(dataclasses.replace(Config(), **{name: cfg[name] for name in ranges}))


def _check_names(classifiers: dict[str, Classifier]) -> None:
    """Wherever its accuracy is shown, a model that stops by the test labels must say so."""
    for name, model in classifiers.items():
        if model.stops_by_test_labels and not name.endswith(TEST_STOPPED):
            raise ConfigError(
                f"classifier.{name}: expected a name that ends in {TEST_STOPPED} for a classifier that test labels "
                f"stop, found {name}; choose classifier=[xgboost_test_stopped]"
            )


def _instantiate_all(nodes: DictConfig, path: str, contract: type) -> dict[str, Any]:
    return {name: instantiate(nodes[name], f"{path}.{name}", contract) for name in map(str, nodes)}


def _target(target: str, path: str, contract: type) -> type:
    module, _, name = target.rpartition(".")
    if module.split(".")[0] != "gpussl" and not plugins.is_allowed(module):
        raise ConfigError(f"{path}: expected a class of gpussl or of a module in plugins=[...], found {target}")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        hint = "; install gpussl[cpu] or gpussl[gpu]" if getattr(error, "name", None) in ("torch", "xgboost") else ""
        raise ConfigError(f"{path}: expected a class, found {target} ({error}){hint}") from error
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls) and contract in cls.__mro__):
        what = (
            "a dataclass" if contract is object else f"a dataclass with the base gpussl.protocols.{contract.__name__}"
        )
        raise ConfigError(f"{path}: expected {what}, found {target}")
    missing = sorted(getattr(cls, "__abstractmethods__", ())) or _unstated(cls, contract)
    if missing:
        raise ConfigError(f"{path}: expected a class with {', '.join(missing)}, found {target}, which has none; add it")
    return cls


def _unstated(cls: type, contract: type) -> list[str]:
    """Class attributes of a contract without a default that a class does not state."""
    annotations: dict[str, Any] = vars(contract).get("__annotations__", {})
    return [name for name, kind in annotations.items() if get_origin(kind) is ClassVar and not hasattr(cls, name)]


def _explain(error: OmegaConfBaseException, cls: type, settings: dict[str, Any], path: str) -> str:
    """OmegaConf's error as one line."""
    key: str = error.full_key or ""
    name = key.split(".")[0].split("[")[0]
    fields = {item.name: item for item in dataclasses.fields(cls)}
    if name not in fields:
        expected = f"one of {', '.join(fields)}" if fields else "no settings"
        meant = nearest(name, fields)
        cure = did_you_mean(meant)[2:] if meant else f"leave it out, or '~{path}.{key}' deletes it"
        return f"{path}.{key}: expected {expected}, found a setting of another name; {cure}"
    return f"{path}.{key}: expected {describe(fields[name])}, found {settings[name]!r}"
