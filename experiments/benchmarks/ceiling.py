"""What the machine can do at most: MuJoCo C on all cores, products of matrices on all devices."""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.cases import Case, config_of
from benchmarks.timing import Figures, repeat, spread_of
from errors import UsageError

HELD_STEPS = 10
"""Steps for which MuJoCo C is given the same random control."""
EPISODES = 20
"""Of MuJoCo C on each thread, to find out how many fill ``MUJOCO_SECONDS``."""
MUJOCO_SECONDS = 1.0
"""Of one timed call of MuJoCo C."""
CHAIN = 10
"""Products, one after the other, of one timed call."""
SIDES = {"cpu": (256, 512, 1024), "other": (1024, 2048, 4096, 8192)}
"""Of the square matrices, by platform."""


def devices(case: Case) -> Figures:
    """The devices of this machine as jax sees them."""
    from runtime import configure_jax

    configure_jax(case.devices)
    import jax

    found = jax.devices()
    kinds = ", ".join(sorted({device.device_kind for device in found}))
    return {"platform": found[0].platform, "kind": kinds, "count": len(found)}


def mujoco_c(case: Case) -> Figures:
    """Steps/s of MuJoCo C on a preset's scene, open loop, one thread per core.

    Its own solver settings (to convergence), random controls held for ten steps, episodes that
    begin where those of training tasks do.
    """
    from runtime import configure_jax, cpu_cores, import_envs, make_env

    configure_jax(1)
    import jax
    import numpy as np

    config = config_of(case).env
    env: Any = make_env(config)
    if config.name == "point":
        raise UsageError("preset: the point robot has no MuJoCo scene")
    suite = getattr(import_envs(), config.name)
    xml = suite.scene_xml(config.block_shape) if config.name == "push" else suite.scene_xml()
    keys = jax.random.split(jax.random.key(1), 20)
    begin = jax.vmap(lambda key, task: env.pack(env.reset(key, task)))
    starts = np.asarray(begin(keys, env.sample_tasks(jax.random.key(0), 20)).qpos)
    num_controls = env.horizon // HELD_STEPS
    work = partial(open_loop, xml, starts, env.control_limit, num_controls)
    num_threads = cpu_cores()
    start = time.perf_counter()
    on_threads(num_threads, partial(work, EPISODES))
    fitting = int(EPISODES * MUJOCO_SECONDS / (time.perf_counter() - start))
    num_episodes = max(fitting, EPISODES)
    call = lambda _: on_threads(num_threads, partial(work, num_episodes))  # noqa: E731
    _, seconds = repeat(call, None, case.repeats, case.budget_s)
    steps = num_threads * num_episodes * num_controls * HELD_STEPS
    return {"steps": steps, "threads": num_threads} | spread_of(seconds, steps)


def open_loop(
    xml: str, starts: Any, control_limit: float, num_controls: int, num_episodes: int, seed: int
) -> None:
    """Episodes of random controls in MuJoCo C, which lets other threads run meanwhile."""
    import mujoco as untyped
    import numpy as np

    mujoco: Any = untyped  # it has no stubs
    model = mujoco.MjModel.from_xml_string(xml)
    data, rng = mujoco.MjData(model), np.random.default_rng(seed)
    for _ in range(num_episodes):
        mujoco.mj_resetData(model, data)
        data.qpos[:] = starts[rng.integers(len(starts))]
        for control in rng.uniform(-control_limit, control_limit, (num_controls, model.nu)):
            data.ctrl[:] = control
            mujoco.mj_step(model, data, nstep=HELD_STEPS)


def on_threads(num_threads: int, work: Callable[[int], None]) -> None:
    """``work`` of 0, 1, ... at the same time; back when all have ended."""
    threads = [threading.Thread(target=work, args=(i,)) for i in range(num_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def matmul(case: Case) -> Figures:
    """FLOP/s of float32 products of square matrices, one on each device: the best of some sizes."""
    from runtime import configure_jax

    configure_jax(case.devices)
    import jax

    sides = SIDES.get(jax.devices()[0].platform, SIDES["other"])
    found = [products(case, side) for side in sides]
    return max(found, key=lambda figures: figures["flops_per_s"])


def products(case: Case, side: int) -> Figures:
    """Figures of products of ``side`` x ``side`` matrices."""
    import jax
    import jax.numpy as jnp

    from explorax.parallel import over_tasks, replicate, task_mesh

    count = len(jax.devices()[: case.devices or None])
    mesh = task_mesh(count, case.devices or None)

    def local(x):
        other = jnp.eye(side) + 0.0 * x  # not known to be the identity
        return jax.lax.scan(lambda y, _: (y @ other, ()), x, length=CHAIN)[0]

    program = jax.jit(over_tasks(local, mesh, (True,), out_tasks=True))
    x = replicate(jnp.ones((count * side, side)), mesh)
    call = lambda _: jax.block_until_ready(program(x))  # noqa: E731
    _, seconds = repeat(call, call(None), case.repeats, case.budget_s / 4)
    flops = 2 * side**3 * CHAIN * count
    times = {k: v for k, v in spread_of(seconds, flops).items() if k != "steps_per_s"}
    return times | {"flops": flops, "flops_per_s": flops / min(seconds), "side": side}
