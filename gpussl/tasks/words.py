"""The words of the command: gpussl choose | label | learn | predict | doubt, for Hydra's overrides.

Paths and names go through Hydra's grammar quoted, so they may have any characters.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpussl.data.files import PROJECT
from gpussl.errors import ConfigError
from gpussl.runtime import config, console
from gpussl.tasks import project

EXPERIMENT = "own_data"
USAGE = {
    "choose": ("PATH", "the data, or the project for the next round"),
    "label": (
        "PROJECT [FILE] [--export FILE]",
        "the project: opens the page, or takes or gives a file with answers",
    ),
    "learn": ("PROJECT", "the project"),
    "predict": ("PROJECT NEW", "the project, and the new data"),
    "doubt": ("PATH", "data with labels, of which some may be wrong"),
}
EXPORTS = {"label_studio": "label_studio", "folders": "folders", "coco": "coco.json"}  # the form, and its output
HELP = ("--help", "-h")
SWEEP = ("-m", "--multirun")
ON_DATA = ("choose", "doubt")
WITHOUT_TRAINING = ("label", "predict")
LIGHT = ("represent=[pixels]", "propagate=[none]", "classifier=[]")  # stages without use that are quick to import


def translated(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command as those of Hydra; those without a word are left as they are.

    Raises
    ------
    ConfigError
        A path is missing, or the command would run several jobs on one project.

    Examples
    --------
    >>> translated(["choose", "my photos", "n_labels=20"])[-3:]
    ['data=auto', "data.path='my photos'", 'n_labels=20']
    >>> translated(["data=mnist"])
    ['data=mnist']
    """
    if not arguments or arguments[0] not in USAGE:
        return list(arguments)
    word, *rest = arguments
    if any(option in rest for option in HELP):
        console.stdout.print(f"gpussl {word} {USAGE[word][0]} [setting=value...]: {USAGE[word][1]}\n", soft_wrap=True)
        return ["--help", *_basis(word, [])]
    if any(option in rest for option in SWEEP):
        raise ConfigError(f"{word}: expected one job on a project, found {SWEEP[0]}; sweep over seeds in a study")
    places, settings = _split(word, rest)
    return [*_of_places(word, places, settings), *settings]


def quoted(value: Any) -> str:
    """Return a value as Hydra's grammar and OmegaConf read it back.

    >>> print(quoted("Müller, 50% (neu)"), quoted(None), quoted(["a", "it's"]))
    'Müller, 50% (neu)' null ['a','it\\'s']
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(quoted, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{quoted(item)}' for key, item in value.items())}}}"
    text = re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", str(value))  # or OmegaConf would interpolate
    text = re.sub(r"(\\*)'", lambda found: found[1] * 2 + r"\'", text)
    text = re.sub(r"(\\+)$", lambda found: found[1] * 2, text)
    return f"'{text}'"


def _split(word: str, rest: Sequence[str]) -> tuple[list[str], list[str]]:
    """The paths, and the settings and options after them. What comes first is a path, whatever its characters."""
    n_least = USAGE[word][0].count(" ") + 1 if "[" not in USAGE[word][0] else 1
    places = list(rest[:n_least])
    settings = list(rest[n_least:])
    if len(places) < n_least or any(place.startswith("--") for place in places):
        raise ConfigError(f"{word}: expected {USAGE[word][1]}, found none; write gpussl {word} {USAGE[word][0]}")
    if (
        word == "label"
        and settings
        and not settings[0].startswith("-")
        and not _is_setting(settings[0])
        and ("=" not in settings[0] or Path(settings[0]).exists())
    ):
        places.append(settings.pop(0))
    return places, settings


def _of_places(word: str, places: Sequence[str], settings: list[str]) -> list[str]:
    """The overrides for the paths; takes options that are ours out of the settings."""
    first = Path(places[0])
    overrides = _basis(word, settings)
    if word in ON_DATA and not project.is_project(first):
        if first.suffix == PROJECT:
            project.opened(first)  # it was meant to be one: say that it is not there
        has_kind = any(text.startswith("data=") for text in settings)
        return [*overrides, *([] if has_kind else ["data=auto"]), f"data.path={quoted(places[0])}"]
    made = project.opened(first)
    data = {name: value for name, value in made.data.items() if name != "choice"}
    overrides += [f"data={made.data['choice']}", *(f"data.{name}={quoted(value)}" for name, value in data.items())]
    given = {project.root_of(text) for text in settings}
    needed = ("classes",) if word in WITHOUT_TRAINING else project.REMEMBERED
    overrides += [text for text in made.settings if (root := project.root_of(text)) in needed and root not in given]
    overrides.append(f"project={quoted(places[0])}")
    if len(places) > 1:
        overrides.append(f"source={quoted(places[1])}")
    if word == "label" and "--export" in settings:
        place = settings.index("--export")
        if place + 1 == len(settings) or _is_setting(settings[place + 1]):
            raise ConfigError(
                "--export: expected a file, or label_studio, folders or coco, found none; write gpussl label PROJECT "
                "--export labels.csv"
            )
        settings.pop(place)
        overrides += _exported(settings.pop(place), settings)
    return overrides


def _is_setting(text: str) -> bool:
    """Whether a word sets what the configuration has."""
    return "=" in text and project.root_of(text) in {item.name for item in dataclasses.fields(config.Config)}


def _exported(where: str, settings: Sequence[str]) -> list[str]:
    """The overrides for an export: a file, or the name of a form, which is then also that of the output."""
    if where not in EXPORTS:
        return [f"output={quoted(where)}"]
    has_output = any(text.startswith("output=") for text in settings)
    return [f"export={where}", *([] if has_output else [f"output={EXPORTS[where]}"])]


def _basis(word: str, settings: Sequence[str]) -> list[str]:
    own = [] if any(text.startswith("+experiment=") for text in settings) else [f"+experiment={EXPERIMENT}"]
    return [*own, *(LIGHT if word in WITHOUT_TRAINING else []), f"task={word}", "hydra.run.dir=."]
