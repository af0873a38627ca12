"""The sections of a benchmark: which programs each one times, and what follows from them.

A section takes the flags and a function that times a case; it gives what the document has of it
besides the rows: names of rows, and figures that are made of several.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks import derived
from benchmarks.cases import (
    PHASES,
    Case,
    Program,
    config_of,
    name_of,
    programs_of,
    trace_directory,
)
from benchmarks.doubling import doublings, knee, to_the_knee
from benchmarks.flags import BenchConfig, SectionName
from benchmarks.runner import Timer
from config import Config
from explorax.config import Optimizer
from presets import PRESETS
from runtime import cpu_cores

HOST_DEVICES = 8
"""Devices to which a CPU is divided, at most, for the scaling of the sharded update."""
SEEDS = 8
"""Runs side by side that are timed in any case."""
FIRST = {"environments": 2, "tasks": 4, "episodes": 4}
"""Where sweeps begin: environments by their episodes per task."""

Section = Callable[[BenchConfig, Timer], dict[str, Any]]


def case_of(config: BenchConfig, program: Program, **fields: Any) -> Case:
    """A program of the preset that all sections but the matrix are about."""
    common = {
        "preset": config.preset,
        "num_tasks": config.num_tasks,
        "num_episodes": config.num_episodes,
        "devices": config.devices,
        "repeats": config.repeats,
        "budget_s": config.budget_s,
    }
    return Case(program, **{**common, **fields})


def optimizers_of(config: BenchConfig) -> tuple[Optimizer, ...]:
    """The outer steps of a preset that are timed: its own first."""
    meta = PRESETS[config.preset].meta
    other: tuple[Optimizer, ...] = ("ppo", "trpo") if meta.memory_size == 0 else ()
    return (meta.optimizer, *(name for name in other if name != meta.optimizer))


def ceiling(config: BenchConfig, time: Timer) -> dict[str, Any]:
    """What the machine can do: MuJoCo C on all cores, products on all devices."""
    cases = [case_of(config, "matmul"), mujoco_case(config, config.preset)]
    return dict(zip(("matmul", "mujoco_c"), timed_names(cases, time), strict=True))


def mujoco_case(config: BenchConfig, preset: str) -> Case:
    """MuJoCo C on a preset's scene."""
    return case_of(config, "mujoco_c", preset=preset, num_tasks=0, num_episodes=0)


def core(config: BenchConfig, time: Timer) -> dict[str, Any]:
    """Whole updates by each outer step, and the meta-test."""
    cases = []
    for optimizer in optimizers_of(config):
        case = case_of(config, "update", optimizer=optimizer)
        cases.append(replace(case, trace_dir=trace_directory(config.trace_dir, case)))
    cases.append(case_of(config, "metatest"))
    return {"rows": timed_names(cases, time)}


def timed_names(cases: list[Case], time: Timer) -> list[str]:
    """The names of cases, which are timed."""
    for case in cases:
        time(case)
    return [name_of(case) for case in cases]


def phases(config: BenchConfig, time: Timer) -> dict[str, Any]:
    """Where the time of an update goes, by programs of which each is a part of the next one."""
    *parts, whole = PHASES
    rows = {part: time(case_of(config, part)) for part in parts}
    shares = {}
    for optimizer in optimizers_of(config):
        update = time(case_of(config, whole, optimizer=optimizer))
        shares[optimizer] = derived.phase_shares(rows | {whole: update})
    return {"rows": [name_of(case_of(config, part)) for part in parts], "shares": shares}


def baseline(config: BenchConfig, time: Timer) -> dict[str, Any]:
    """The same update by a loop on the host, with threads and processes and without."""
    cores = cpu_cores()
    ways: list[dict[str, Any]] = [{}]
    if cores > 1:
        ways += [{"threads": cores}, {"threads": cores, "workers": cores}]
    ways.append({**ways[-1], "batched": True})
    rollout, ratios = time(case_of(config, "rollout")), {}
    for optimizer in optimizers_of(config):
        case = partial(case_of, config, "host_loop", optimizer=optimizer, devices=0, repeats=2)
        rows = {name_of(host): time(host) for host in (case(**way) for way in ways)}
        ours = time(case_of(config, "update", optimizer=optimizer))
        ratios |= derived.baseline_ratios(rows, ours, rollout)
    return {"rows": list(ratios), "ratios": ratios}


def seeds(config: BenchConfig, time: Timer) -> dict[str, Any]:
    """Runs side by side in one program, beside as many runs one after the other."""
    optimizer = optimizers_of(config)[0]

    def case(count: int) -> Case:
        alone = count == 1
        return case_of(config, "update", optimizer=optimizer, num_seeds=count, cached=alone)

    rows = to_the_knee(lambda n: time(case(n)), 1, config.sweep_points, at_least=SEEDS)
    iterations = PRESETS[config.preset].train.num_iterations
    return {
        "rows": {str(count): name_of(case(count)) for count in rows},
        "knee": knee(rows),
        "costs": derived.seed_costs(rows, iterations),
    }


def devices(config: BenchConfig, time: Timer) -> dict[str, Any]:
    """The update on 1, 2, ... devices; its tasks are divided evenly among them."""
    found = time(case_of(config, "devices"))
    on_cpu = found.get("platform") == "cpu"
    counts = doublings(HOST_DEVICES if on_cpu else found.get("count", 1))
    asked = config.num_tasks or PRESETS[config.preset].meta.meta_batch_size
    num_tasks = -(-asked // counts[-1]) * counts[-1]

    def case(count: int) -> Case:
        return case_of(config, "update", optimizer=optimizers_of(config)[0], num_tasks=num_tasks,
                       devices=count, cached=False)  # fmt: skip

    rows = {count: time(case(count)) for count in counts}
    return {"rows": {str(count): name_of(case(count)) for count in rows}, "tasks": num_tasks}


def sweep(config: BenchConfig, time: Timer) -> dict[str, Any]:
    """Environments of a rollout, tasks and episodes of an update, doubled until it does not pay."""
    update = partial(case_of, config, "update", optimizer=optimizers_of(config)[0], cached=False)
    cases: Mapping[str, Callable[[int], Case]] = {
        "environments": lambda n: case_of(config, "rollout", num_episodes=n, cached=False),
        "tasks": lambda n: update(num_tasks=n),
        "episodes": lambda n: update(num_episodes=n),
    }
    found = {}
    for axis, case in cases.items():
        rows = to_the_knee(lambda n, case=case: time(case(n)), FIRST[axis], config.sweep_points)
        names = {str(size): name_of(case(size)) for size in rows}
        per_size = num_environments(case(FIRST[axis])) // FIRST[axis]
        found[axis] = {"rows": names, "knee": knee(rows), "environments_per_size": per_size}
    return found


def num_environments(case: Case) -> int:
    """Tasks times episodes."""
    run = config_of(case)
    assert isinstance(run, Config)
    return run.meta.meta_batch_size * run.meta.num_episodes


def matrix(config: BenchConfig, time: Timer) -> dict[str, Any]:
    """Rollouts, updates and meta-tests of all methods and suites, beside MuJoCo C on the scenes."""
    found: dict[str, Any] = {}
    for preset in config.presets:
        cases = [case_of(config, p, **of_preset(preset, p)) for p in programs_of(preset)]
        found[preset] = {"rows": timed_names(cases, time)}
        if config_of(cases[0]).env.name != "point":  # that robot has no scene
            (found[preset]["mujoco_c"],) = timed_names([mujoco_case(config, preset)], time)
    return found


def of_preset(preset: str, program: Program) -> dict[str, Any]:
    """What of a preset's case is not as in the other sections."""
    own = PRESETS.get(preset)
    optimizer = own.meta.optimizer if isinstance(own, Config) and program == "update" else None
    return {"preset": preset, "optimizer": optimizer}


SECTIONS: dict[SectionName, Section] = {
    "ceiling": ceiling,
    "core": core,
    "phases": phases,
    "baseline": baseline,
    "seeds": seeds,
    "devices": devices,
    "sweep": sweep,
    "matrix": matrix,
}
"""In the order in which they are run."""
