"""Meta-testing: adaptation to held-out tasks, all of them in one compiled program."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray

from explorax.adapt import Batch
from explorax.meta_update import MetaLearner
from explorax.parallel import over_tasks
from explorax.rollout import returns_and_success
from explorax.types import Env, PyTree, Task


class MetaTestResult(NamedTuple):
    """Means over a task's episodes, per task N and meta-test iteration S."""

    episode_return: Float[Array, "N S"]  # undiscounted
    success: Float[Array, "N S"]  # share of episodes with some step at the goal


def meta_test(
    env: Env,
    learner: MetaLearner,
    mesh: Mesh,
    num_iterations: int,
    num_episodes: int,
    params: PyTree,
    tasks: Task,
    key: PRNGKeyArray,
) -> MetaTestResult:
    """Adapts to every task as ``learner.adapt`` does.

    Args:
      env: the environment with the reward of the test (sparse).
      learner: whose adaptation is tested.
      mesh: the tasks are spread over it; its size divides their number.
      num_iterations: inner steps; S = num_iterations + 1, entry 0 is before any.
      num_episodes: episodes per task and iteration.
      params: what meta-training learned.
      tasks: held-out tasks, leading axis N.
      key: typed key, consumed.
    """

    def summary(batch: Batch) -> MetaTestResult:
        episode_return, success = returns_and_success(batch.trajectory)
        return MetaTestResult(jnp.mean(episode_return), jnp.mean(success))

    def local(params, tasks, keys) -> MetaTestResult:
        result = learner.adapt(env, params, num_iterations, num_episodes, tasks, keys, summary)
        return jax.tree.map(jnp.transpose, result)

    keys = jax.random.split(key, jax.tree.leaves(tasks)[0].shape[0])
    sharded = over_tasks(local, mesh, (False, True, True), out_tasks=True)
    return sharded(params, tasks, keys)
