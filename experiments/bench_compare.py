"""Compares the last benchmark with the one before: ``python experiments/bench_compare.py``.

Exit codes: 0 done, 1 something is slower than --fail-below allows, 2 wrong flags or paths.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.derived import Row, ratio, value
from benchmarks.history import (
    Document,
    label,
    machine_name,
    one_before,
    read_all,
    read_one,
    same_machine,
)
from cli import parse, run_main
from errors import UsageError
from explorax.config import require


@dataclass(frozen=True)
class CompareConfig:
    """Compare the last benchmark of a history with the one before it on the same machine."""

    history: Path = Path("runs/bench/history.jsonl")
    """What `make bench` has written."""
    against: Path | None = None
    """A benchmark's own JSON to compare with, in place of the one before."""
    fail_below: float = 0.0
    """Exit with 1 if a program has fewer steps/s than this share of before, beyond the spread."""

    def __post_init__(self):
        require(0 <= self.fail_below <= 1, "fail_below", "must be in 0..1")


class Change(NamedTuple):
    """A program in two benchmarks."""

    name: str
    before: float  # steps/s, or FLOP/s
    now: float
    beyond_spread: bool | None  # None: one of the two has a single call, which has no spread
    cold_compile: float | None  # now in units of before
    cached_compile: float | None
    host_memory: float | None

    @property
    def speed(self) -> float:
        """Of now in units of before."""
        return self.now / self.before


def changes(before: Document, now: Document) -> list[Change]:
    """Every program that both have measured."""
    found = []
    for name, row in now["rows"].items():
        old = before["rows"].get(name)
        was, is_now = _speed(old), _speed(row)
        if was is None or is_now is None:
            continue
        compile_and_memory = (
            ratio(value(row, figure), value(old, figure))
            for figure in ("cold_compile_s", "cached_compile_s", "peak_host_mib")
        )
        found.append(Change(name, was, is_now, _apart(old, row), *compile_and_memory))
    return found


def _speed(row: Row | None) -> float | None:
    """Steps/s, or of products FLOP/s."""
    return value(row, "steps_per_s") or value(row, "flops_per_s")


def _apart(old: Row, new: Row) -> bool | None:
    """Whether the times of all calls of one are above those of the other."""
    if min(old["num_calls"], new["num_calls"]) < 2:
        return None
    return old["seconds_max"] < new["seconds_min"] or new["seconds_max"] < old["seconds_min"]


def verdict(change: Change) -> str:
    """In a word."""
    if change.beyond_spread is None:
        return "one call"
    if not change.beyond_spread:
        return "within the spread"
    return "faster" if change.speed > 1 else "slower"


def show(before: Document, now: Document, found: Sequence[Change]) -> None:
    """The table."""
    from benchmarks.tables import table_of
    from consoles import wide_console

    columns = ("before /s", "now /s", "speed", "", "cold compile", "cached", "host memory")
    table = table_of(f"{label(before)} -> {label(now)}", ("program", *columns))
    for change in found:
        style = {"faster": "green", "slower": "red"}.get(verdict(change), "")
        times = (change.cold_compile, change.cached_compile, change.host_memory)
        table.add_row(
            change.name,
            f"{change.before:,.0f}",
            f"{change.now:,.0f}",
            f"{change.speed:.2f}",
            verdict(change),
            *("" if x is None else f"{x:.2f}" for x in times),
            style=style,
        )
    console = wide_console()
    console.print(table)
    console.print(
        f"{machine_name(now)}. All but /s in units of before. 'faster' and 'slower': all timed "
        "calls of one took longer than all of the other.",
        highlight=False,
    )


def main(argv: Sequence[str]) -> int:
    """Compares what the flags say."""
    config = parse(CompareConfig, argv)
    history = read_all(config.history)
    if not history:
        raise UsageError(f"history: {config.history}: is empty; `make bench` adds to it")
    now = history[-1]
    if config.against is None:
        before = one_before(history, now)
    else:
        before = read_one(config.against)
        if not same_machine(before, now):
            raise UsageError(
                f"against: {config.against}: was measured on another machine "
                f"({machine_name(before)}; this one is {machine_name(now)})"
            )
    found = changes(before, now)
    if not found:
        raise UsageError("history: the two benchmarks have no program in common")
    show(before, now, found)
    slower = [c for c in found if c.beyond_spread and c.speed < config.fail_below]
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(run_main(main))
