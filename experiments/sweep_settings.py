"""The settings of a sweep, and the runs that each of them is."""

import itertools
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from child_runs import changed_flags
from config import Config, flatten, from_json, settings_id, to_json
from explorax.config import require
from presets import PRESETS
from run_directory import seeds_name
from sweep_spec import Choices, Domain, Range, SweepSpec

Setting = Mapping[str, Any]
"""A value for every field that is varied."""

MOST_CORNERS = 4096
"""Combinations of a space's extremes that are tried before it is searched."""


@dataclass(frozen=True)
class SweepRun:
    """One program of a sweep: a setting with one seed or several, a line of its manifest."""

    id: str  # the same for the same settings and seeds
    setting: Setting
    config: Config

    @property
    def seeds(self) -> Sequence[int]:
        """Of the program."""
        return range(self.config.seed, self.config.seed + self.config.num_seeds)

    def to_json(self) -> dict[str, Any]:
        """Its line of the manifest."""
        flags = [f"--preset={self.config.preset}", *changed_flags(self.config)]
        about = {"id": self.id, "settings_id": settings_id(self.config), "seeds": list(self.seeds)}
        return about | {"fields": dict(self.setting), "flags": flags}


def runs_of(spec: SweepSpec, setting: Setting) -> list[SweepRun]:
    """One run per seed, or one of all seeds.

    Raises:
      ValueError: ``field: expectation``.
    """
    if spec.vmap:
        configs = [config_of(spec, setting, spec.seeds[0], len(spec.seeds))]
    else:
        configs = [config_of(spec, setting, seed) for seed in spec.seeds]
    return [SweepRun(f"{settings_id(c)}-{seeds_name(c)}", setting, c) for c in configs]


def first_runs(spec: SweepSpec) -> list[SweepRun]:
    """The runs of a sweep that are known before it begins; of tpe's, those at extremes.

    Raises:
      ValueError: ``field: expectation``, where a config refuses one.
    """
    first = itertools.islice(_combinations(spec), MOST_CORNERS)
    settings = first if spec.method == "tpe" else listed(spec)
    return [run for setting in settings for run in runs_of(spec, setting)]


def config_of(spec: SweepSpec, setting: Setting, seed: int, num_seeds: int = 1) -> Config:
    """The config of a setting.

    Raises:
      ValueError: ``field: expectation``.
    """
    values = json.loads(json.dumps(to_json(PRESETS[spec.preset])))
    overrides = {**spec.set, **setting, "seed": seed, "num_seeds": num_seeds}
    for name, value in overrides.items():
        *groups, last = name.split(".")
        group = values
        for part in groups:
            group = group[part]
        group[last] = value
    try:
        config = from_json(values)
    except ValueError as error:
        raise ValueError(_with_whole_name(str(error), list(flatten(values)))) from error
    assert isinstance(config, Config)
    last = config.metatest.num_iterations
    reached = spec.metric.iteration is None or spec.metric.iteration <= last
    require(reached, "metric", f"{spec.metric} is beyond metatest.num_iterations, {last}")
    return config


def _with_whole_name(message: str, names: Sequence[str]) -> str:
    """A part of a config knows its fields by their last names only."""
    name, colon, rest = message.partition(": ")
    whole = [known for known in names if known.endswith(f".{name}")]
    return f"{whole[0]}{colon}{rest}" if name not in names and len(whole) == 1 else message


def listed(spec: SweepSpec) -> list[Setting]:
    """All settings of a grid, or those that are drawn at random; none of them twice.

    Raises:
      ValueError: ``field: expectation``.
    """
    if spec.method == "grid":
        return list(_combinations(spec))
    assert spec.num_runs is not None
    rng = random.Random(spec.search_seed)
    drawn: dict[str, Setting] = {}
    for _ in range(100 * spec.num_runs):
        setting = {name: _draw(domain, rng) for name, domain in spec.fields.items()}
        drawn.setdefault(json.dumps(setting), setting)
        if len(drawn) == spec.num_runs:
            return list(drawn.values())
    raise ValueError(f"num_runs: {spec.num_runs} asked for, but only {len(drawn)} settings found")


def _combinations(spec: SweepSpec) -> Iterator[Setting]:
    """Of all values where they are listed, and of the extremes of ranges."""
    values = map(_extremes, spec.fields.values())
    return (dict(zip(spec.fields, found, strict=True)) for found in itertools.product(*values))


def _extremes(domain: Domain) -> Sequence[Any]:
    return domain.values if isinstance(domain, Choices) else (domain.low, domain.high)


def _draw(domain: Domain, rng: random.Random) -> Any:
    """A value, uniform in the domain or in its logarithm."""
    if isinstance(domain, Choices):
        return rng.choice(domain.values)
    return _whole(domain, rng) if domain.int else _real(domain, domain.low, domain.high, rng)


def _whole(domain: Range, rng: random.Random) -> int:
    """Each integer has the share of the interval that rounds to it."""
    drawn = round(_real(domain, domain.low - 0.5, domain.high + 0.5, rng))
    return int(min(max(drawn, domain.low), domain.high))


def _real(domain: Range, low: float, high: float, rng: random.Random) -> float:
    if not domain.log:
        return rng.uniform(low, high)
    drawn = math.exp(rng.uniform(math.log(low), math.log(high)))
    return min(max(drawn, low), high)  # exp(log(x)) may be above x
