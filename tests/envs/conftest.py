"""Episodes that several tests look at, each compiled once."""

import jax
import pytest
from episodes import NUM_COMPARED, NUM_EPISODES, Episodes, pushing_actions, roll

from explorax_envs.push import Push


@pytest.fixture(scope="session")
def exact_episodes() -> Episodes:
    """Dense reward, exact physics: pushing."""
    env = Push("disc", "dense", "exact")
    tasks = env.sample_tasks(jax.random.key(1), NUM_COMPARED)
    return roll(env, tasks, pushing_actions(tasks, seed=1))


@pytest.fixture(scope="session")
def fast_episodes() -> Episodes:
    """Sparse reward, fast physics: pushing in the first tasks, nothing done in the others."""
    env = Push("disc", "sparse", "fast")
    tasks = env.sample_tasks(jax.random.key(1), NUM_EPISODES)
    actions = pushing_actions(tasks, seed=1)
    actions[NUM_COMPARED:] = 0
    return roll(env, tasks, actions)
