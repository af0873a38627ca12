"""The settings of a sweep, and the runs that each of them is."""

import hashlib
import itertools
import json
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from child_runs import changed_flags
from config import Config
from config_json import flatten, from_json, settings_id, to_json
from explorax.config import require
from presets import PRESETS
from run_directory import seeds_name
from sweeping.spec import SEED, Choices, Domain, Range, SweepSpec
from variations import text_of

Setting = Mapping[str, Any]
"""A value for every field that is varied."""

MOST_CORNERS = 4096
"""Combinations of a space's extremes that are tried before it is searched."""


@dataclass(frozen=True)
class SweepRun:
    """One program of a sweep: a setting or several, with one seed or several."""

    id: str  # the same for the same settings and seeds
    settings: Sequence[Setting]
    config: Config

    @property
    def seeds(self) -> Sequence[int]:
        """The program's seeds."""
        return range(self.config.seed, self.config.seed + self.config.num_seeds)

    def to_json(self) -> list[dict[str, Any]]:
        """Its lines of the manifest, one per setting."""
        flags = [f"--preset={self.config.preset}", *changed_flags(self.config)]
        ids = dict.fromkeys(map(settings_id, self.config.members()))
        return [
            {
                "id": self.id,
                "settings_id": of_setting,
                "seeds": list(self.seeds),
                "fields": dict(setting),
                "flags": flags,
            }
            for of_setting, setting in zip(ids, self.settings, strict=True)
        ]


def programs(spec: SweepSpec, settings: Iterable[Setting]) -> list[list[Setting]]:
    """Settings grouped into programs: those that differ only in fields of ``vmap`` share one.

    Programs come in the order of their first settings.
    """
    found: dict[str, list[Setting]] = {}
    for setting in settings:
        fixed = [value for name, value in setting.items() if name not in spec.vmap]
        found.setdefault(json.dumps(fixed), []).append(setting)
    return list(found.values())


def runs_of(spec: SweepSpec, settings: Sequence[Setting]) -> list[SweepRun]:
    """One run per seed, or one of all seeds.

    Args:
      spec: the sweep.
      settings: of one program.

    Raises:
      ValueError: ``field: expectation``.
    """
    if SEED in spec.vmap:
        return [_run(spec, settings, spec.seeds[0], len(spec.seeds))]
    return [_run(spec, settings, seed) for seed in spec.seeds]


def _run(spec: SweepSpec, settings: Sequence[Setting], seed: int, num_seeds: int = 1) -> SweepRun:
    configs = [config_of(spec, setting, seed, num_seeds) for setting in settings]
    first, ids = configs[0], [settings_id(config) for config in configs]
    if len(configs) == 1:
        return SweepRun(f"{ids[0]}-{seeds_name(first)}", settings, first)
    varied = [name for name in spec.fields if name in spec.vmap]
    vary = tuple(text_of({name: setting[name] for name in varied}) for setting in settings)
    of_all = hashlib.sha256(" ".join(ids).encode()).hexdigest()[:12]
    return SweepRun(f"{of_all}-{seeds_name(first)}", settings, replace(first, vary=vary))


def first_runs(spec: SweepSpec) -> list[SweepRun]:
    """The runs of a sweep that are known before it begins; of tpe's, those at extremes.

    Raises:
      ValueError: ``field: expectation``, where a config refuses one.
    """
    first = itertools.islice(_combinations(spec), MOST_CORNERS)
    settings = first if spec.method == "tpe" else listed(spec)
    return [run for together in programs(spec, settings) for run in runs_of(spec, together)]


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
    """Combinations of all listed values and of the extremes of ranges."""
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
