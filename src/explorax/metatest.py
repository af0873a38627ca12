"""Meta-testing: adaptation to held-out tasks, all of them in one compiled program."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray

from explorax.adapt import Batch, StepSizes, unroll
from explorax.meta_update import MetaLearner
from explorax.outer import MetaParams
from explorax.parallel import over_tasks
from explorax.rollout import TaskParams, returns_and_success
from explorax.types import Env, PyTree, Task


class MetaTestResult(NamedTuple):
    """Means over a task's episodes, per task N and meta-test iteration S."""

    episode_return: Float[Array, "N S"]  # undiscounted
    success: Float[Array, "N S"]  # share of episodes with some step at the goal


def step_size_scale(num_iterations: int) -> Float[Array, " S"]:
    """1, 1, 1/2, 1/4, ...: alpha is halved after every iteration from the second on (MAESN)."""
    return 0.5 ** jnp.maximum(jnp.arange(num_iterations + 1) - 1.0, 0.0)


def adapt_from_prior(
    env: Env,
    learner: MetaLearner,
    num_iterations: int,
    start: tuple[TaskParams, StepSizes],
    tasks: Task,
    keys: PRNGKeyArray,
    emit: Callable[[Batch], PyTree],
) -> PyTree:
    """Adapts to N tasks from one start; ``emit`` of every batch, leading axes (S, N)."""
    params, step_sizes = start
    repeat = lambda x: jnp.broadcast_to(x, (len(keys), *x.shape))  # noqa: E731
    params = params._replace(latent=jax.tree.map(repeat, params.latent))
    scale = step_size_scale(num_iterations)
    with jax.default_matmul_precision("highest"):
        return unroll(
            env, learner.policy, learner.config, params, step_sizes, scale, tasks, keys, emit
        )


def meta_test(
    env: Env,
    learner: MetaLearner,
    mesh: Mesh,
    num_iterations: int,
    params: MetaParams,
    tasks: Task,
    key: PRNGKeyArray,
) -> MetaTestResult:
    """Adapts to every task by inner steps alone, from the prior; theta's start never changes.

    Args:
      env: the environment with the reward of the test (sparse).
      learner: whose ``start``, inner step and number of episodes are used.
      mesh: the tasks are spread over it; its size divides their number.
      num_iterations: inner steps; S = num_iterations + 1, entry 0 is before any.
      params: what meta-training learned.
      tasks: held-out tasks, leading axis N.
      key: typed key, consumed.
    """

    def summary(batch: Batch) -> MetaTestResult:
        episode_return, success = returns_and_success(batch.trajectory)
        return MetaTestResult(jnp.mean(episode_return), jnp.mean(success))

    def local(start, tasks, keys) -> MetaTestResult:
        result = adapt_from_prior(env, learner, num_iterations, start, tasks, keys, summary)
        return jax.tree.map(jnp.transpose, result)

    keys = jax.random.split(key, jax.tree.leaves(tasks)[0].shape[0])
    sharded = over_tasks(local, mesh, (False, True, True), out_tasks=True)
    return sharded(learner.start(params), tasks, keys)
