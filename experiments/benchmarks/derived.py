"""Figures that are made of several rows. A figure that lacks a row is None."""

from collections.abc import Mapping
from typing import Any

from benchmarks.cases import PHASES

Row = Mapping[str, Any]
MEANINGS = {
    "physics": "physics",
    "acting": "rest of the rollout",
    "rollout": "policy network in the rollout",
    "stages": "baseline, advantages, inner step",
    "update": "outer step",
}
"""What a program adds to the one before it in PHASES."""


def value(row: Row | None, name: str) -> float | None:
    """A figure of a row, if it was measured."""
    return None if row is None or "error" in row else row.get(name)


def ratio(above: float | None, below: float | None) -> float | None:
    """One figure in units of another."""
    return None if above is None or not below else above / below


def values(row: Row, *names: str) -> list[float] | None:
    """Figures of a row, if all of them were measured."""
    found = [x for name in names if (x := value(row, name)) is not None]
    return found if len(found) == len(names) else None


def phase_shares(rows: Mapping[str, Row]) -> dict[str, float] | None:
    """Shares of an update's time, by differences of the least seconds of nested programs.

    A difference that noise makes negative is 0, and the program before it counts for more.
    """
    seconds = [x for name in PHASES if (x := value(rows[name], "seconds_min")) is not None]
    if len(seconds) < len(PHASES):
        return None
    *_, whole = seconds
    shares, until = {}, 0.0
    for name, took in zip(PHASES, seconds, strict=True):
        upto = min(max(took, until), whole)
        shares[MEANINGS[name]] = (upto - until) / whole
        until = upto
    return shares


def baseline_ratios(
    loops: Mapping[str, Row], update: Row, rollout: Row
) -> dict[str, dict[str, float | None]]:
    """How many times as fast our update is as each host loop: as a whole, and by its two parts."""
    whole, sampling = value(update, "seconds"), value(rollout, "seconds")
    learning = None if whole is None or sampling is None else max(whole - sampling, 0.0)
    return {
        name: {
            "whole": ratio(value(row, "seconds"), whole),
            "sampling": ratio(value(row, "sampling_s"), sampling),
            "learning": ratio(value(row, "learning_s"), learning),
        }
        for name, row in loops.items()
    }


def seed_costs(rows: Mapping[int, Row], num_iterations: int) -> dict[str, dict[str, float]]:
    """What n runs cost in one program, beside n runs one after the other.

    ``update`` is the ratio of the updates alone. ``run`` is that of whole trainings: setting up,
    compiling (of the runs one after the other all but the first from the cache), iterating.

    Args:
      rows: by the number of seeds, from 1 on.
      num_iterations: of a training.
    """
    alone = values(rows[1], "setup_s", "seconds", "cold_compile_s", "cached_compile_s")
    costs = {}
    for count, row in rows.items():
        together = values(row, "setup_s", "seconds", "cold_compile_s")
        if count == 1 or alone is None or together is None:
            continue
        setup, seconds, cold, cached = alone
        apart = count * (setup + num_iterations * seconds) + cold + (count - 1) * cached
        setup_all, seconds_all, cold_all = together
        costs[str(count)] = {
            "update": seconds_all / (count * seconds),
            "run": (setup_all + cold_all + num_iterations * seconds_all) / apart,
        }
    return costs


def of_mujoco(row: Row, mujoco: Row | None) -> float | None:
    """Steps/s as a share of MuJoCo C's on all cores."""
    return ratio(value(row, "steps_per_s"), value(mujoco, "steps_per_s"))


def of_matmul(row: Row, matmul: Row | None) -> float | None:
    """FLOP/s of the policy's network as a share of the products that the devices can make."""
    per_s = ratio(value(row, "policy_flops"), value(row, "seconds"))
    return ratio(per_s, value(matmul, "flops_per_s"))
