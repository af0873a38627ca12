"""Measures throughput: ``python experiments/bench.py``. A table, and JSON beside it.

Every program is timed in a process of its own, twice: with an empty compilation cache and with
the one that the first left behind. Compile time is reported apart and is in no steps/s.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cli import parse, run_main
from explorax.config import require
from provenance import machine

Case = Literal["rollout", "stages", "ppo", "trpo"]
MUJOCO_THREADS = 2
CASES: tuple[Case, ...] = ("rollout", "stages", "ppo", "trpo")
SEEDS = (2, 4, 8)
"""Runs side by side that are timed beside a single one."""


@dataclass(frozen=True)
class BenchConfig:
    """Rollouts and whole MAESN updates on Push, beside MuJoCo C in the same run."""

    num_tasks: int = 20
    """Tasks per meta-update."""
    num_episodes: int = 20
    """Episodes per task and stage."""
    block_shape: Literal["disc", "box"] = "disc"
    """Shape of the blocks."""
    physics: Literal["fast", "exact"] = "fast"
    """Solver iterations."""
    repeats: int = 5
    """Timed calls per program, after one that is not; the median counts."""
    num_seeds: int = 1
    """Runs side by side in the program of --case."""
    devices: int = 0
    """Most devices to use; 0: every accelerator there is, else one CPU device per core."""
    out: Path = Path("runs/bench.json")
    """Where the figures are written."""
    case: Case | None = None
    """Time this program alone, in this process, and print its figures as JSON."""

    def __post_init__(self):
        for name in ("num_tasks", "repeats", "num_seeds"):
            require(getattr(self, name) >= 1, name, "must be at least 1")
        require(self.num_episodes >= 2, "num_episodes", "must be at least 2")
        require(self.devices >= 0, "devices", "must not be negative")
        require(
            self.num_seeds == 1 or self.case in ("ppo", "trpo"),
            "num_seeds",
            "needs --case ppo or trpo; without a case, 1, 2, 4 and 8 are timed",
        )


def build_case(config: BenchConfig) -> tuple[Callable, tuple, int]:
    """The program of ``config.case``, its arguments, and its environment steps per call.

    ``rollout`` is the sampling of both stages, ``stages`` adds baselines, advantages and the inner
    step, ``ppo`` and ``trpo`` are the whole update.
    """
    import jax
    import jax.numpy as jnp

    from config import EnvConfig
    from explorax import meta_update, parallel
    from explorax.adapt import task_axes
    from explorax.algos.maesn import maesn
    from explorax.rollout import TaskParams, rollout
    from runtime import make_env

    optimizer = "trpo" if config.case == "trpo" else "ppo"
    meta_config = maesn(
        optimizer=optimizer, meta_batch_size=config.num_tasks, num_episodes=config.num_episodes
    )
    env = make_env(EnvConfig(block_shape=config.block_shape, physics=config.physics))
    mesh = parallel.task_mesh(config.num_tasks, config.devices or None)
    learner = meta_update.build(env, meta_config, mesh)
    if config.num_seeds > 1:
        several = meta_update.over_seeds(learner)
        keys = jax.vmap(jax.random.key)(jnp.arange(config.num_seeds))
        states = parallel.replicate(jax.jit(several.init)(keys), mesh)
        return several.update, (states,), config.num_seeds * learner.steps_per_update
    state = parallel.replicate(jax.jit(learner.init)(jax.random.key(0)), mesh)
    if config.case in ("ppo", "trpo"):
        return learner.update, (state,), learner.steps_per_update
    index = jnp.arange(config.num_tasks) % meta_config.num_train_tasks
    keys = jax.random.split(jax.random.key(1), config.num_tasks)

    def stages(state, index, keys):
        return meta_update.sample_stages(
            env, learner.policy, meta_config, state.params, index, state.tasks, keys
        )

    def both_rollouts(state, index, keys):
        pick = lambda tree: jax.tree.map(lambda x: x[index], tree)  # noqa: E731
        params = TaskParams(pick(state.params.latent), state.params.policy)
        keys = jax.vmap(lambda k: jax.random.split(k, (2, config.num_episodes)), out_axes=1)(keys)
        axes = task_axes(meta_config.adapt)

        def one_stage(_, stage_keys):
            return (), rollout(env, learner.policy, params, axes, pick(state.tasks), stage_keys)

        _, trajectory = jax.lax.scan(one_stage, (), keys)
        return trajectory

    fun = stages if config.case == "stages" else both_rollouts

    def summed(*args):  # one number a task and device, so that no output has to be gathered
        return jax.tree.map(lambda x: jnp.sum(x)[None], fun(*args))

    sharded = parallel.over_tasks(summed, mesh, (False, True, True), out_tasks=True)
    return sharded, (state, index, keys), learner.steps_per_update


def time_case(config: BenchConfig) -> dict[str, float]:
    """Compile and run times of one program in this process."""
    import jax

    from runtime import configure_jax

    configure_jax(config.devices)
    fun, args, steps = build_case(config)
    start = time.perf_counter()
    lowered = jax.jit(fun).lower(*args)
    trace_s = time.perf_counter() - start
    compiled = lowered.compile()
    compile_s = time.perf_counter() - start
    jax.block_until_ready(compiled(*args))
    times = []
    for _ in range(config.repeats):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*args))
        times.append(time.perf_counter() - start)
    median = sorted(times)[len(times) // 2]
    return {
        "steps": steps,
        "seconds": median,
        "seconds_min": min(times),
        "seconds_max": max(times),
        "steps_per_s": steps / median,
        "trace_s": trace_s,
        "compile_s": compile_s,
        "peak_host_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "num_devices": jax.device_count(),
    }


def in_own_process(config: BenchConfig, case: Case, cache: str) -> dict[str, float]:
    """``time_case`` in a fresh process whose compilation cache is ``cache``."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(config).items()
             if name not in ("case", "out")]  # fmt: skip
    command = [sys.executable, __file__, f"--case={case}", *flags]
    environment = {**os.environ, "EXPLORAX_CACHE_DIR": cache}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def mujoco_c_steps_per_s(config: BenchConfig, seconds: float = 3.0) -> float:
    """Steps/s of MuJoCo C, open loop, on task layouts of the same scene.

    Its own solver settings (to convergence), random forces held for ten steps, one thread for
    each of ``MUJOCO_THREADS``.
    """
    import jax
    import mujoco as untyped
    import numpy as np

    from explorax_envs.push import sample_tasks
    from explorax_envs.push.scene import scene_xml

    mujoco: Any = untyped  # it has no stubs
    model = mujoco.MjModel.from_xml_string(scene_xml(config.block_shape))
    layouts = np.asarray(sample_tasks(jax.random.key(0), 20).qpos)
    counts = [0] * MUJOCO_THREADS

    def work(thread: int) -> None:
        data = mujoco.MjData(model)
        rng = np.random.default_rng(thread)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            mujoco.mj_resetData(model, data)
            data.qpos[:] = layouts[rng.integers(len(layouts))]
            for control in rng.uniform(-2, 2, (10, model.nu)):
                data.ctrl[:] = control
                mujoco.mj_step(model, data, nstep=10)
            counts[thread] += 100

    threads = [threading.Thread(target=work, args=(i,)) for i in range(MUJOCO_THREADS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def bench(config: BenchConfig) -> dict[str, Any]:
    """All programs, cold and cached, and MuJoCo C."""
    from rich.progress import track

    results: dict[str, Any] = {"config": asdict(config) | {"out": str(config.out)}}
    results["machine"] = machine()
    with tempfile.TemporaryDirectory() as cache:
        for case in track(CASES, "timing"):
            cold = in_own_process(config, case, cache)
            cached = in_own_process(config, case, cache)
            results[case] = cached | {"cold_compile_s": cold["compile_s"]}
        results["ppo_seeds"] = {
            str(n): in_own_process(replace(config, case="ppo", num_seeds=n), "ppo", cache)
            for n in track(SEEDS, "timing seeds side by side")
        }
    results["mujoco_c_steps_per_s"] = mujoco_c_steps_per_s(config)
    return results


def show(results: dict[str, Any]) -> None:
    """The table."""
    from rich.console import Console
    from rich.table import Table

    titles = {
        "rollout": "rollouts of both stages",
        "stages": "… and inner step",
        "ppo": "whole update, ppo",
        "trpo": "whole update, trpo",
    }
    table = Table(title="MAESN on Push")
    for column in (
        "program",
        "steps/s",
        "of MuJoCo C",
        "s",
        "cold compile s",
        "cached s",
        "host MiB",
    ):
        table.add_column(column, justify="left" if column == "program" else "right")
    for case in CASES:
        row = results[case]
        table.add_row(
            titles[case],
            f"{row['steps_per_s']:,.0f}",
            f"{row['steps_per_s'] / results['mujoco_c_steps_per_s']:.2f}",
            f"{row['seconds']:.2f}",
            f"{row['cold_compile_s']:.1f}",
            f"{row['compile_s']:.1f}",
            f"{row['peak_host_memory_mib']:.0f}",
        )
    for n, row in results["ppo_seeds"].items():
        table.add_row(
            f"{n} runs of ppo side by side",
            f"{row['steps_per_s']:,.0f}",
            f"{row['steps_per_s'] / results['mujoco_c_steps_per_s']:.2f}",
            f"{row['seconds']:.2f}",
            f"{row['compile_s']:.1f}",
            "",
            f"{row['peak_host_memory_mib']:.0f}",
        )
    table.add_row(
        f"MuJoCo C, {MUJOCO_THREADS} threads", f"{results['mujoco_c_steps_per_s']:,.0f}", "1.00"
    )
    console = Console()
    console.print(table)
    rollout, stages = (results[case]["seconds_min"] for case in ("rollout", "stages"))
    for optimizer in ("ppo", "trpo"):
        whole = results[optimizer]["seconds_min"]
        shares = (rollout / whole, (stages - rollout) / whole, (whole - stages) / whole)
        inner = f"{shares[1]:.0%}" if shares[1] > 0 else "below the noise"
        console.print(
            f"{optimizer}: rollout {shares[0]:.0%}, inner step {inner}, outer step {shares[2]:.0%}"
        )


def main(argv: Sequence[str]) -> int:
    """Times one case in this process, or all of them in processes of their own."""
    config = parse(BenchConfig, argv)
    if config.case is not None:
        print(json.dumps(time_case(config)))
        return 0
    results = bench(config)
    show(results)
    config.out.parent.mkdir(parents=True, exist_ok=True)
    config.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"written: {config.out}")
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
