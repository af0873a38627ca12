"""Learning a task alone: one outer step at a time, every task by itself."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from explorax import meta_update, parallel
from explorax.algos.scratch import scratch
from explorax.rollout import returns_and_success
from explorax_envs.point import Point

ENV = Point()
CONFIG = scratch(num_train_tasks=2, meta_batch_size=2, hidden_sizes=(8,))


def learn(
    config, num_tasks: int, num_iterations: int, num_episodes: int = 6, only: int | None = None
):
    """Returns (S, N) of the tasks, or of one of them learned without the others."""
    learner = meta_update.build(ENV, config, parallel.task_mesh(2, 1))
    params = learner.init(jax.random.key(0)).params
    tasks = ENV.sample_tasks(jax.random.key(1), num_tasks)
    keys = jax.random.split(jax.random.key(2), num_tasks)
    if only is not None:
        tasks, keys = jax.tree.map(lambda x: x[only : only + 1], (tasks, keys))

    def mean_return(batch):
        return jnp.mean(returns_and_success(batch.trajectory)[0])

    run = jax.jit(
        lambda p, t, k: learner.adapt(ENV, p, num_iterations, num_episodes, t, k, mean_return)
    )
    return np.asarray(run(params, tasks, keys))


def test_every_task_is_learned_by_itself():
    """By ppo: conjugate gradient amplifies the rounding of another batch size."""
    config = dataclasses.replace(CONFIG, test_optimizer="ppo")
    together = learn(config, num_tasks=3, num_iterations=2)
    assert together.shape == (3, 3)
    alone = learn(config, num_tasks=3, num_iterations=2, only=1)
    np.testing.assert_allclose(together[:, 1:2], alone, atol=2e-3)


@pytest.mark.parametrize("optimizer", [pytest.param("ppo", marks=pytest.mark.slow), "trpo"])
def test_a_dense_reward_is_climbed(optimizer):
    config = dataclasses.replace(CONFIG, test_optimizer=optimizer, meta_batch_size=2)
    score = learn(config, num_tasks=8, num_iterations=30, num_episodes=20).mean(axis=-1)
    assert score[-1] > score[0] + 4.0
