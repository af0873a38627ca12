"""Settings by the full names of their fields; how flags and directories name several."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from explorax.config import require

Values = dict[str, float]
"""Numbers by the full name of their field, as in ``meta.kl_coef``."""


def parse_values(text: str) -> Values:
    """The values that ``meta.kl_coef=0.1,meta.discount=0.9`` names.

    Raises:
      ValueError: ``vary: expectation``.
    """
    values: Values = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        require(name not in values, "vary", f"{text!r} has {name!r} twice")
        try:
            values[name] = float(number)
        except ValueError:
            raise ValueError(f"vary: must be as in field=0.1,other=2; got {text!r}") from None
    return values


def text_of(values: Mapping[str, float]) -> str:
    """The inverse of ``parse_values``."""
    return ",".join(f"{name}={float(value)!r}" for name, value in values.items())


def short_name(values: Mapping[str, float]) -> str:
    """For the names of directories and curves: ``kl_coef0.1-discount0.9``."""
    return "-".join(f"{name.rpartition('.')[2]}{value!r}" for name, value in values.items())


def value_of(config: Any, name: str) -> Any:
    """The value of the field with this full name; None where there is none."""
    first, dot, rest = name.partition(".")
    if not is_dataclass(config) or first not in {field.name for field in fields(config)}:
        return None
    value = getattr(config, first)
    return value_of(value, rest) if dot else value


def changed(config: Any, values: Mapping[str, Any]) -> Any:
    """``config`` with other values of the fields, whose names are as in ``hierarchy.skills``."""
    for name, value in values.items():
        first, _, rest = name.partition(".")
        new = changed(getattr(config, first), {rest: value}) if rest else value
        config = replace(config, **{first: new})
    return config
