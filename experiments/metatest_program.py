"""A run's meta-test as one function for all its members, each with its own numbers."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import ArrayLike, PRNGKeyArray

from config import Config, MetaTestConfig
from explorax.metatest import MetaTestResult, meta_test
from explorax.types import Env, PyTree, Task
from explorax.varied import with_values
from learners import meta_learner, varied_values

EPISODES = 0xE915
"""Stream of the meta-test's episodes; training folds nothing so large into a key."""


def metatest_program(
    config: Config, env: Env, mesh: Mesh, test: MetaTestConfig
) -> Callable[[PyTree, Task, PRNGKeyArray], MetaTestResult]:
    """(params, tasks, keys) -> results; several members have a leading axis, except for tasks.

    Args:
      config: the run's.
      env: with the reward of the test.
      mesh: the tasks are spread over it.
      test: sizes of the test; its number of tasks is not used.
    """

    def test_one(
        values: Mapping[str, ArrayLike], params: PyTree, tasks: Task, key: PRNGKeyArray
    ) -> MetaTestResult:
        learner = meta_learner(with_values(config, values), env, mesh)
        sizes = test.num_iterations, test.num_episodes
        return meta_test(env, learner, mesh, *sizes, params, tasks, key)

    values = varied_values(config)
    test_all = jax.vmap(test_one, in_axes=(0, 0, None, 0)) if config.num_members > 1 else test_one
    return lambda params, tasks, keys: test_all(values, params, tasks, keys)


def metatest_keys(config: Config) -> PRNGKeyArray:
    """Keys of the meta-test's episodes: one, or one for each of several members."""
    seeds = jnp.array([member.seed for member in config.members()])
    keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), EPISODES))(seeds)
    return keys if config.num_members > 1 else keys[0]
