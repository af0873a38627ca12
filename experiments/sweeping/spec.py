"""What a sweep varies and how, as its YAML file says."""

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from config_json import ABOUT_THE_RUN, LOGGING, flatten, to_json
from errors import UsageError
from explorax.config import HUGE, require
from presets import PRESETS

Method = Literal["grid", "random", "tpe"]
Score = Literal["return", "success"]
SEED = "seed"
"""The name of the seeds in ``vmap``."""

MOST_SETTINGS, MOST_SEEDS = 10_000, 1024
"""Upper bounds for a sweep."""


@dataclass(frozen=True)
class Metric:
    """The meta-test score, mean over held-out tasks, by which settings are compared."""

    score: Score = "return"
    iteration: int | None = 5  # of the meta-test; None: the best of all

    @classmethod
    def parse(cls, text: Any) -> "Metric":
        """The metric that ``return@5`` or ``success@best`` names."""
        found = re.fullmatch(rf"({'|'.join(get_args(Score))})@(\d+|best)", str(text))
        expected = "must be return@N, success@N, return@best or success@best"
        require(found is not None, "metric", f"{expected}; got {text!r}")
        assert found is not None
        score: Any = found[1]
        return cls(score, None if found[2] == "best" else int(found[2]))

    def __str__(self) -> str:
        at = "best" if self.iteration is None else self.iteration
        return f"{self.score}@{at}"


@dataclass(frozen=True)
class Choices:
    """One of these values."""

    values: tuple[Any, ...]

    def __post_init__(self):
        require(len(self.values) >= 1, "", "needs at least one value")
        for value in self.values:
            require(_is_plain(value), "", f"must have numbers, words or lists; got {value!r}")
        for i, value in enumerate(self.values):
            require(value not in self.values[:i], "", f"has {value!r} twice")


@dataclass(frozen=True)
class Range:
    """A number in [low, high]."""

    low: float
    high: float
    log: bool = False  # uniform in the logarithm
    int: bool = False  # whole numbers, both ends included

    def __post_init__(self):
        for name in ("low", "high"):
            value = getattr(self, name)
            require(_is_number(value), f".{name}", f"must be a number; got {value!r}")
            require(abs(value) <= HUGE, f".{name}", f"must be at most {HUGE:.0e} in size")
            require(not self.int or type(value) is not float, f".{name}", "must be whole")
        for name in ("log", "int"):
            require(type(getattr(self, name)) is bool, f".{name}", "must be true or false")
        require(self.low < self.high, ".low", f"must be below high; got {self.low} and {self.high}")
        require(not self.log or self.low > 0, ".low", "must be positive where log is true")


Domain = Choices | Range


def _is_number(value: Any) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _is_plain(value: Any) -> bool:
    """Whether a field can have it: YAML knows dates, too."""
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


@dataclass(frozen=True)
class SweepSpec:
    """One sweep. Every setting of the varied fields is run with every seed."""

    preset: str
    """What all runs start from: a preset of ``make train``."""
    fields: Mapping[str, Domain]
    """The varied fields, by their full names."""
    method: Method = "grid"
    """All settings; or as many as num_runs, drawn at random or by the tree-structured Parzen
    estimator (Bergstra 2011), which learns from those that are finished."""
    num_runs: int | None = None
    """Settings to draw, each run once per seed; not for a grid."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of training."""
    metric: Metric = Metric()
    """The score to maximise."""
    set: Mapping[str, Any] = field(default_factory=dict)
    """Fields in which all runs differ from the preset."""
    vmap: tuple[str, ...] = ()
    """What differs within one program: the seeds, varied fields that take fractions, or nothing."""
    search_seed: int = 0
    """Seed of the settings that random and tpe draw."""

    def __post_init__(self):
        require(
            isinstance(self.preset, str) and self.preset in PRESETS,
            "preset",
            f"must be one of {', '.join(PRESETS)}; got {self.preset!r}",
        )
        methods = get_args(Method)
        expected = f"must be one of {', '.join(methods)}; got {self.method!r}"
        require(self.method in methods, "method", expected)
        self._check_sizes()
        self._check_names()
        self._check_vmap()
        for name, domain in self.fields.items():
            self._check_domain(f"fields.{name}", domain, self.usual[name])
        if self.method == "grid":
            listed = [len(d.values) for d in self.fields.values() if isinstance(d, Choices)]
            fits = math.prod(listed) <= MOST_SETTINGS
            require(fits, "fields", f"are {math.prod(listed)} settings, more than {MOST_SETTINGS}")

    def _check_sizes(self) -> None:
        if self.method == "grid":
            require(self.num_runs is None, "num_runs", "is for method random or tpe, not grid")
        else:
            counts = type(self.num_runs) is int and 1 <= self.num_runs <= MOST_SETTINGS
            require(counts, "num_runs", f"must be in 1..{MOST_SETTINGS} for method {self.method}")
        require(1 <= len(self.seeds) <= MOST_SEEDS, "seeds", f"must be 1 to {MOST_SEEDS} of them")
        whole = all(type(seed) is int and seed >= 0 for seed in self.seeds)
        require(whole, "seeds", "must be a count or a list of integers from 0 on")
        require(len(set(self.seeds)) == len(self.seeds), "seeds", "must differ")
        first = self.seeds[0]
        consecutive = self.seeds == tuple(range(first, first + len(self.seeds)))
        in_one = "must be consecutive where vmap has seed"
        require(SEED not in self.vmap or consecutive, "seeds", f"{in_one}; got {list(self.seeds)}")
        require(type(self.search_seed) is int, "search_seed", "must be an integer")

    def _check_names(self) -> None:
        require(len(self.fields) >= 1, "fields", "must be at least one: nothing is varied")
        for key, names in (("fields", self.fields), ("set", self.set)):
            for name in names:
                group = name.partition(".")[0]
                # where runs are logged may be set
                is_logging = key == "set" and name.startswith(LOGGING)
                settled = group in ABOUT_THE_RUN and not is_logging
                settled |= key == "fields" and name == "train.devices"
                of_its_own = f"cannot be in {key}: it is no setting of what is learned"
                require(not settled, f"{key}.{name}", of_its_own)
                require(name in self.usual, f"{key}.{name}", self._no_field(name))
        both = sorted(self.fields.keys() & self.set.keys())
        require(not both, f"set.{''.join(both[:1])}", "is in fields too")

    def _check_vmap(self) -> None:
        for i, name in enumerate(self.vmap):
            require(name not in self.vmap[:i], "vmap", f"has {name} twice")
            if name == SEED:
                continue
            known = ", ".join([SEED, *self.fields])
            require(name in self.fields, "vmap", f"must be among {known}; got {name!r}")
            is_float = type(self.usual[name]) is float
            require(is_float, "vmap", f"{name} is no field that takes fractions")
            at_once = f"{name} cannot be in it for method tpe, which asks for one setting at a time"
            require(self.method != "tpe", "vmap", at_once)

    def _no_field(self, name: str) -> str:
        near = difflib.get_close_matches(name.replace("-", "_"), self.usual, n=1)
        return "is no field" + (f" (perhaps you meant {near[0]})" if near else "")

    def _check_domain(self, name: str, domain: Domain, usual: Any) -> None:
        if isinstance(domain, Choices):
            return
        require(self.method != "grid", name, "must be a list of values for method grid")
        require(_is_number(usual), name, "must be a list of values: it is no number")
        # an integer field takes no other numbers
        only_whole = type(usual) is int
        require(domain.int or not only_whole, name, "takes whole numbers: say int: true")

    @property
    def usual(self) -> dict[str, Any]:
        """The preset's values by the full name of their field."""
        return flatten(to_json(PRESETS[self.preset]))


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, and no key may come twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for i, key in enumerate(keys):
            require(key not in keys[:i], str(key), "is there twice")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


def read_spec(path: Path) -> SweepSpec:
    """The sweep that a YAML file describes.

    Raises:
      UsageError: the file, and the field that is wrong.
    """
    try:
        return spec_from(_parse(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise UsageError(f"{path}: nests too deeply") from None


def _parse(text: str) -> Any:
    """What YAML says.

    Raises:
      YAMLError, ValueError: it says nothing.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except (AttributeError, LookupError, TypeError, ArithmeticError) as error:
        raise ValueError(f"a value is not of its tag ({error!r})") from error  # as of !!bool x


def spec_from(content: Any) -> SweepSpec:
    """The sweep that a file's content describes.

    Raises:
      ValueError: ``field: expectation``.
    """
    require(isinstance(content, dict), "spec", "must be a mapping with preset, fields, ...")
    known = [f.name for f in fields(SweepSpec)]
    for name in content:
        require(name in known, str(name), f"is not among {', '.join(known)}")
    for name in ("preset", "fields"):
        require(name in content, name, "is missing")
    values: dict[str, Any] = dict(content)
    for name in ("fields", "set"):
        given = values.get(name) or {}
        require(isinstance(given, dict), name, "must be a mapping of fields")
        values[name] = {str(key): value for key, value in given.items()}
    values["fields"] = {n: _domain(f"fields.{n}", d) for n, d in values["fields"].items()}
    if "seeds" in values:
        values["seeds"] = _seeds(values["seeds"])
    if "metric" in values:
        values["metric"] = Metric.parse(values["metric"])
    vmap = values.get("vmap") or []
    require(isinstance(vmap, list), "vmap", f"must be a list, as in [seed]; got {vmap!r}")
    values["vmap"] = tuple(vmap)
    return SweepSpec(**values)


def _seeds(given: Any) -> tuple[int, ...]:
    """A list of them, or how many from 0 on."""
    if type(given) is int:
        return tuple(range(min(given, MOST_SEEDS + 1)))
    require(isinstance(given, list), "seeds", "must be a count or a list of integers")
    return tuple(given)


def _domain(name: str, given: Any) -> Domain:
    """A list of values, or a range."""
    try:
        if isinstance(given, list):
            return Choices(tuple(given))
        require(isinstance(given, dict), "", "must be a list of values, or low and high")
        for key in given:
            known = [f.name for f in fields(Range)]
            require(key in known, f".{key}", f"is not among {', '.join(known)}")
        for key in ("low", "high"):
            require(key in given, f".{key}", "is missing")
        return Range(**given)
    except ValueError as error:
        raise ValueError(f"{name}{error}") from None


def content_of(spec: SweepSpec) -> dict[str, Any]:
    """The inverse of ``spec_from``, JSON-able; every key is there."""
    content = vars(replace(spec)) | {"metric": str(spec.metric)}
    content |= {"seeds": list(spec.seeds), "vmap": list(spec.vmap), "set": dict(spec.set)}
    domains = spec.fields.items()
    shown = {n: list(d.values) if isinstance(d, Choices) else dict(vars(d)) for n, d in domains}
    return content | {"fields": shown}
