"""Command lines of runs as hypothesis draws them, from the fields of the configs themselves."""

import dataclasses
import re
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from hypothesis import strategies as st

from config import EnvConfig, RunConfig

WHOLE = ["0", "1", "2", "3", "4", "5", "7", "10", "20", "64", "100", "-1"]
BEYOND = ["2147483647", "2147483648", "9223372036854775808", f"1{'0' * 30}", f"1{'0' * 400}"]
WRONG = ["", " ", "x", "None", "True", "1e3", "0.5", "0x10", "١", "𝟛", "--", "-", "[]", "{", "a\nb"]
REAL = ["0", "0.1", "0.5", "0.99", "1", "2.5", "30", "-0.0", "-1", "1e-300", "1e300"]
NO_NUMBERS = ["nan", "inf", "-inf", "1e400"]
FEATURES = ["full", "position", "blocks", "blocks_hand", "hand", "torso", "", "ä"]
PATHS = ["new", "a file", "a file/below", "", ".", "/dev/null", "/proc/x", "ü ✓", "n" * 300, "run"]
MANGLED = [
    ["--bogus", "1"],
    ["--meta"],
    ["stray"],
    ["--"],
    ["-h1"],
    ["--env.name=point", "--env.name=push"],
    ["--seed", "1", "--seed", "2"],
    ["--seed"],
    ["--=1"],
    ["--preset=point-maesn"],
    ["--meta.ppo"],
    ["--resume"],
    ["@file"],
    ["\ud800"],
]


def fields_of(cls: type, prefix: str = "") -> dict[str, Any]:
    """The types of a config's fields by the names of their flags."""
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        name, kind = prefix + field.name.replace("_", "-"), hints[field.name]
        is_group = dataclasses.is_dataclass(kind)
        found |= fields_of(kind, f"{name}.") if is_group else {name: kind}
    return found


def names_something(line: str, cls: type[RunConfig], argv: Sequence[str]) -> bool:
    """Whether an error begins with a field or a path that was given, or has a flag."""
    flags = fields_of(cls)
    fields = {name.replace("-", "_") for name in flags}
    groups = {name.rpartition(".")[0] for name in fields} - {""}
    first = re.match(r"[a-z_.]+", line)
    said = {flag.replace("_", "-") for flag in re.findall(r"--([a-z_.-]+)", line)}
    parts = {part for word in argv for part in (word, *word.split("=", 1)) if part}
    given = {part.encode(errors="replace").decode() for part in parts}  # as they are printed
    # Words that no flag takes are said as they were given.
    unknown = line.removeprefix("Unrecognized options: ").partition(" (perhaps you meant ")[0]
    return (
        (first is not None and first[0] in fields | groups)
        or bool(said & flags.keys())
        or any(line.startswith((f"{word}: ", f"{word}/")) for word in given)
        or set(unknown.split(", ")) <= given
    )


def values_of(name: str, kind: Any) -> st.SearchStrategy[list[str]]:
    """Flags that set a field of a type to what it can be, and to what it cannot."""
    flag = lambda *values: [f"--{name}", *values]  # noqa: E731
    joined = lambda value: [f"--{name}={value}"]  # noqa: E731
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is bool:
        group, dot, switch = name.rpartition(".")
        return st.sampled_from([flag(), [f"--{group}{dot}no-{switch}"], flag("1"), joined("x")])
    if origin is tuple:
        parts = st.lists(st.sampled_from([*WHOLE, *BEYOND[:2], "x"]), max_size=3)
        return parts.map(lambda values: flag(*values))
    return _single(kind, origin, arguments).map(joined)


def _single(kind: Any, origin: Any, arguments: Sequence[Any]) -> st.SearchStrategy[str]:
    """Of fields with one value."""
    if origin is Literal:
        return _mostly([*arguments], WRONG)
    if origin is types.UnionType:
        return _mostly(PATHS if Path in arguments else ["None", "name"], WRONG)
    if kind is int:
        return _mostly(WHOLE, [*BEYOND, *WRONG, *NO_NUMBERS])
    if kind is float:
        return _mostly(REAL, [*BEYOND, *WRONG, *NO_NUMBERS])
    assert kind is str, f"no values are known for fields of type {kind}"
    return _mostly(FEATURES, WRONG)


def _mostly(likely: Sequence[str], others: Sequence[str]) -> st.SearchStrategy[str]:
    """One of two lists, of the first four times of five."""
    is_likely = st.integers(0, 4).map(bool)
    return is_likely.flatmap(lambda is_so: st.sampled_from(likely if is_so else others))


def command_lines(cls: type[RunConfig], presets: Sequence[str]) -> st.SearchStrategy[list[str]]:
    """Up to five fields of any preset, on any environment, and now and then something mangled."""
    fields = fields_of(cls)
    usual = st.sampled_from(presets).map(lambda name: [f"--preset={name}"])
    one = st.sampled_from(sorted(fields.items())).flatmap(lambda field: values_of(*field))
    environment = values_of("env.name", typing.get_type_hints(EnvConfig)["name"])
    seldom = st.one_of(*[st.just([])] * 7, st.sampled_from(MANGLED), environment)
    parts = st.tuples(usual, seldom, st.lists(one, max_size=5))
    return parts.map(lambda p: [*p[0], *p[1], *(word for flags in p[2] for word in flags)])
