"""Trains a small MAESN, alone or as one of several processes, and prints what came of it."""

import json
import os
import signal

import jax
import jax.numpy as jnp

import explorax_envs
import tiny_runs
from explorax.meta_update import build
from explorax.parallel import highest, of_first_process, task_mesh
from explorax.train import Callbacks, Schedule, StopSignal, fit
from trees import bits


def outcome() -> dict:
    """The same in every process, and whatever their number: the devices are two."""
    is_last = jax.process_index() == jax.process_count() - 1
    rows = []

    def on_metrics(members):
        rows.append({k: v for k, v in members[0].items() if k not in ("wall_s", "steps_per_s")})
        if is_last and len(rows) == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    mesh = task_mesh(tiny_runs.META.meta_batch_size)
    assert mesh.size == 2
    learner = build(explorax_envs.make("point"), tiny_runs.META, mesh)
    # Another seed in each process: all have to go on with the first one's state.
    state = of_first_process(jax.jit(learner.init)(jax.random.key(jax.process_index())))
    with StopSignal() as stop:
        callbacks = Callbacks(on_metrics, lambda *_: None, stop)
        result = fit(learner, state, mesh, Schedule(100, 2, 100), callbacks)
        assert stop.agreed() == signal.SIGTERM
    return {
        "state": [(dtype, shape, data.hex()) for dtype, shape, data in bits(result.state)],
        "metrics": rows,
        "shared": [(dtype, shape, data.hex()) for dtype, shape, data in bits(shared())],
    }


def shared():
    """What a sum would spoil, as the first process has it."""
    tree = {
        "zero": jnp.array([-0.0, jnp.nan, 1e-45]),
        "truth": jnp.array([True, False]),
        "keys": jax.random.split(jax.random.key(3), 2),
        "none": jnp.zeros((0, 3)),
    }
    if jax.process_index() > 0:
        tree = jax.tree.map(jnp.zeros_like, tree)
    return of_first_process(tree)


def main() -> None:
    """Joins the others and prints the outcome on the last line."""
    number, count = int(os.environ["JAX_PROCESS_ID"]), int(os.environ["JAX_NUM_PROCESSES"])
    jax.distributed.initialize(num_processes=count, process_id=number)
    assert highest(number) == count - 1
    print(json.dumps(outcome()))


if __name__ == "__main__":
    main()
