"""Parameters of stages: dataclass fields with a range.

Every stage is a dataclass, and its fields are its settings. OmegaConf checks their names and types; `check` checks
their ranges.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from gpussl.errors import ConfigError

KINDS: dict[Any, str] = {
    int: "a whole number",
    int | None: "a whole number or null",
    float: "a number",
    float | None: "a number or null",
    str: "a text",
    bool: "true or false",
    list[int]: "a list of whole numbers",
    list[str]: "a list of texts",
}


def param(
    default: Any,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    choices: Iterable[str] | None = None,
    min_items: int = 0,
) -> Any:
    """Return a dataclass field with a default and a range.

    Parameters
    ----------
    default : object
        A list is copied for each instance.
    ge, gt, le, lt : float, optional
        Bounds (>=, >, <=, <) of the value, or of each item of a list.
    choices : iterable of str, optional
        Allowed values.
    min_items : int
        Minimum length of a list.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Stage:
    ...     alpha: float = param(0.5, gt=0, lt=1)
    >>> Stage()
    Stage(alpha=0.5)
    """
    limits = {"ge": ge, "gt": gt, "le": le, "lt": lt}
    metadata: dict[str, Any] = {name: limit for name, limit in limits.items() if limit is not None}
    if choices is not None:
        metadata["choices"] = tuple(choices)
    if min_items:
        metadata["min_items"] = min_items
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def check(params: Any) -> None:
    """Check each field of a dataclass instance against its range.

    Raises
    ------
    ConfigError
        A value is out of range. The message starts with the name of the field; the caller may put a path before it.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Stage:
    ...     alpha: float = param(0.5, gt=0, lt=1)
    >>> check(Stage(alpha=2))
    Traceback (most recent call last):
    gpussl.errors.ConfigError: alpha: expected a number greater than 0 and less than 1, found 2
    """
    for field in dataclasses.fields(params):
        value = getattr(params, field.name)
        if value is None and field.default is None:
            continue
        if isinstance(value, list) and len(value) < field.metadata.get("min_items", 0):
            raise ConfigError(f"{field.name}: expected at least {field.metadata['min_items']} item, found {len(value)}")
        for item in value if isinstance(value, list) else [value]:
            if not _within(item, field.metadata):
                raise ConfigError(f"{field.name}: expected {describe(field)}, found {item!r}")


def describe(field: "dataclasses.Field[Any]") -> str:
    """Return the type and range of a field in words.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Stage:
    ...     percentile: float = param(25.0, ge=0, le=100)
    >>> describe(dataclasses.fields(Stage)[0])
    'a number of at least 0 and at most 100'
    """
    if "choices" in field.metadata:
        return "one of " + ", ".join(field.metadata["choices"])
    words = {"ge": "of at least", "gt": "greater than", "le": "at most", "lt": "less than"}
    limits = [f"{word} {field.metadata[name]:g}" for name, word in words.items() if name in field.metadata]
    return " ".join([kind(field), " and ".join(limits)]).rstrip()


def kind(field: "dataclasses.Field[Any]") -> str:
    """Return the type of a field in words.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Stage:
    ...     name: str = "random"
    >>> kind(dataclasses.fields(Stage)[0])
    'a text'
    """
    return KINDS.get(field.type, str(field.type))


def _within(value: Any, limits: Any) -> bool:
    if "choices" in limits:
        return value in limits["choices"]
    if not limits:
        return True
    return (
        isinstance(value, (int, float, np.number))
        and math.isfinite(value)
        and value >= limits.get("ge", -math.inf)
        and value > limits.get("gt", -math.inf)
        and value <= limits.get("le", math.inf)
        and value < limits.get("lt", math.inf)
    )
