"""Solver settings of a suite against MuJoCo C: ``python experiments/physics.py --suite wheeled``.

Episodes of constant actions that persistent noise shakes, in MJX with more and more solver
iterations and in MuJoCo's C engine, which solves every contact to convergence.
Exit codes: 0 done, 2 wrong flags.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cli import parse, run_main
from csv_files import write_csv
from explorax.config import require

SETTINGS = ((1, 4), (2, 4), (3, 6), (5, 10), (10, 20))
"""Newton and line-search iterations."""


@dataclass(frozen=True)
class PhysicsConfig:
    """Drift from MuJoCo C and speed by solver iterations."""

    suite: Literal["push", "wheeled", "ant"] = "wheeled"
    """The environment."""
    num_episodes: int = 64
    """Episodes of the comparison."""
    seed: int = 0
    """Of actions, tasks and resets."""
    out: Path | None = None
    """The CSV to write; runs/physics-SUITE.csv if not given."""

    def __post_init__(self):
        require(self.num_episodes >= 1, "num_episodes", "must be at least 1")


def shaken_actions(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """(N, T, A): a constant of each episode plus noise that lasts about 10 steps."""
    num_episodes, horizon, size = shape
    constant = rng.uniform(-0.6, 0.6, (num_episodes, size))
    noise, actions = np.zeros_like(constant), np.zeros(shape, np.float32)
    for t in range(horizon):
        noise = 0.9 * noise + 0.15 * rng.normal(size=noise.shape)
        actions[:, t] = np.clip(constant + noise, -1, 1)
    return actions


def in_mujoco(xml: str, first: Any, controls: np.ndarray) -> np.ndarray:
    """Joint positions (N, Q) at the end of every episode in MuJoCo's C engine."""
    import mujoco as untyped

    mujoco: Any = untyped  # it has no stubs
    model = mujoco.MjModel.from_xml_string(xml)
    data = mujoco.MjData(model)
    ends = []
    for qpos, qvel, episode in zip(first.qpos, first.qvel, controls, strict=True):
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:] = qpos, qvel
        for control in episode:
            data.ctrl[:] = control
            mujoco.mj_step(model, data)
        ends.append(data.qpos.copy())
    return np.array(ends)


def measure(config: PhysicsConfig) -> list[dict[str, float]]:
    """A row per setting; errors are the largest over the joints at an episode's end."""
    import jax

    from runtime import import_envs

    envs = import_envs()
    env = envs.make(config.suite)
    suite = getattr(envs, config.suite)
    xml = suite.scene_xml("disc") if config.suite == "push" else suite.scene_xml()
    num = config.num_episodes
    rng = np.random.default_rng(config.seed)
    actions = shaken_actions(rng, (num, env.horizon, env.action_size))
    tasks = env.sample_tasks(jax.random.key(config.seed), num)
    keys = jax.random.split(jax.random.key(config.seed + 1), num)
    first = jax.vmap(lambda k, t: env.pack(env.reset(k, t)))(keys, tasks)
    end = in_mujoco(xml, jax.device_get(first), env.control_limit * actions)

    def episode(carry, task, actions):
        def step(carry, action):
            return env.pack(env.step(env.unpack(carry, task), action)), ()

        return jax.lax.scan(step, carry, actions)[0].qpos

    rows = []
    for iterations, ls_iterations in SETTINGS:
        options = env.sys.opt.replace(iterations=iterations, ls_iterations=ls_iterations)
        env.sys = env.sys.replace(opt=options)
        program = jax.jit(jax.vmap(episode))
        error = 1e3 * np.abs(np.asarray(program(first, tasks, actions)) - end).max(axis=-1)
        start = time.perf_counter()
        jax.block_until_ready(program(first, tasks, actions))
        speed = num * env.horizon / (time.perf_counter() - start)
        quantiles = np.quantile(error, [0.5, 0.75, 0.9, 1.0]).round(3)
        errors = dict(zip(("median", "p75", "p90", "largest"), quantiles.tolist(), strict=True))
        sizes = {"iterations": iterations, "ls_iterations": ls_iterations}
        rows.append(sizes | errors | {"steps_per_s": round(speed)})
    return rows


def main(argv: Sequence[str]) -> int:
    """Measures, prints a table and writes it."""
    config = parse(PhysicsConfig, argv)
    from rich.console import Console
    from rich.table import Table

    from runtime import configure_jax

    configure_jax(1)
    rows = measure(config)
    table = Table(title=f"{config.suite}: drift from MuJoCo C (mm or mrad), one device")
    for name in rows[0]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    out = config.out or Path("runs") / f"physics-{config.suite}.csv"
    write_csv(out, rows)
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
