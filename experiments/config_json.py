"""Configs as JSON, and what tells runs of different settings apart."""

import dataclasses
import hashlib
import json
import types
import typing
from pathlib import Path
from typing import Any, Literal

from config import Config, RunConfig, SkillsRunConfig
from explorax.config import require

ABOUT_THE_CALL = ("run_dir", "resume", "distributed")
"""Fields that say where a run is, and where it is trained, not what it is."""
ABOUT_THE_RUN = ("preset", "seed", "num_seeds", "vary", "wandb", "tensorboard")
"""Fields in which runs of the same settings may differ."""
LOGGING = ("wandb.", "tensorboard")
"""Prefixes of fields that change nothing in a run's own directory."""
MAY_LACK = (*LOGGING, "vary", "hierarchy.options.intrinsic_coef")
"""Fields that configs of older versions may lack: their defaults do no harm."""


def to_json(config: RunConfig) -> dict[str, Any]:
    """What a run is, as JSON-able values."""
    values = dataclasses.asdict(config, dict_factory=_jsonable)
    return {name: value for name, value in values.items() if name not in ABOUT_THE_CALL}


def _jsonable(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in items}


def from_json(values: Any) -> RunConfig:
    """The inverse of ``to_json``. Every field has to be there: a default may have changed since.

    Those of MAY_LACK need not be.

    Raises:
      ValueError: ``field: expectation``.
    """
    has_skills = isinstance(values, dict) and "skills" in values
    return dataclass_from(SkillsRunConfig if has_skills else Config, values)


def settings_id(config: RunConfig) -> str:
    """Tells runs of different settings apart; names, seeds, logging and devices do not count."""
    anywhere = dataclasses.replace(config, train=dataclasses.replace(config.train, devices=0))
    values = {k: v for k, v in to_json(anywhere).items() if k not in ABOUT_THE_RUN}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by the full name of their field, as in ``meta.ppo.learning_rate``."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        nested = flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else None
        flat |= {f"{prefix}{name}": value} if nested is None else nested
    return flat


def dataclass_from(cls: type, values: Any, prefix: str = "") -> Any:
    """A config from JSON's values; ``prefix`` and a field's name are the whole name.

    Raises:
      ValueError: ``field: expectation``.
    """
    require(isinstance(values, dict), prefix.rstrip(".") or "config", "must be an object")
    hints = typing.get_type_hints(cls)
    fields = [f.name for f in dataclasses.fields(cls) if f.name not in ABOUT_THE_CALL]
    for name in values:
        require(name in fields, prefix + name, "is no field")
    for name in fields:
        given = name in values or (prefix + name).startswith(MAY_LACK)
        require(given, prefix + name, "is missing; an older version wrote this config")
    return cls(**{name: _value_from(hints[name], v, prefix + name) for name, v in values.items()})


def _value_from(kind: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return dataclass_from(typing.cast(type, kind), value, f"{name}.")
    origin, choices = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        require(value in choices, name, f"must be one of {', '.join(choices)}; got {value!r}")
    elif origin is types.UnionType:
        value = Path(value) if Path in choices and isinstance(value, str) else value
        require(isinstance(value, choices), name, f"must be {kind}; got {value!r}")
    elif origin is tuple:
        ok = isinstance(value, list) and all(type(x) is choices[0] for x in value)
        require(ok, name, f"must be a list of {choices[0].__name__}; got {value!r}")
        return tuple(value)
    elif kind is float:
        is_number = type(value) is float or (type(value) is int and abs(value) <= 2**53)
        require(is_number, name, f"must be a number; got {value!r}")
        return float(value)
    else:
        require(type(value) is kind, name, f"must be of type {kind.__name__}; got {value!r}")
    return value
