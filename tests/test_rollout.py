"""Episodes that end early."""

import jax
import jax.numpy as jnp
import numpy as np

from explorax.nets import Policy
from explorax.rollout import TaskParams, returns_and_success, rollout, task_axes
from explorax.types import Gaussian
from explorax_envs.point import Point

WALL = 0.55


class Cliff(Point):
    """The point falls off where x exceeds the wall: afterwards nothing is a number."""

    def step(self, state, action):
        state = super().step(state, action)
        fallen = state.obs[0] > WALL
        return state.replace(
            done=fallen.astype(jnp.float32), reward=jnp.where(state.obs[0] > 0.7, jnp.nan, -1.0)
        )


def test_an_episode_stays_where_it_ended_and_earns_no_more():
    """Walking along x at full speed: the wall is behind the sixth step."""
    policy = Policy(init=lambda _: (), apply=lambda _, obs, z: Gaussian(z, jnp.full_like(z, -9.0)))
    direction = jnp.array([[1.0, 0.0], [0.0, 1.0]])  # of each task's latent
    params = TaskParams(Gaussian(direction, jnp.full((2, 2), -9.0)), ())
    env = Cliff()
    tasks = env.sample_tasks(jax.random.key(0), 2)
    keys = jax.random.split(jax.random.key(1), (2, 3))
    episode = rollout(env, policy, params, task_axes("latents"), tasks, keys)
    np.testing.assert_array_equal(episode.alive.sum(axis=-1), [[6] * 3, [20] * 3])
    np.testing.assert_array_equal(returns_and_success(episode)[0], [[-6] * 3, [-20] * 3])
    np.testing.assert_allclose(episode.obs[0, :, 6:, 0], 0.6, atol=1e-3)
    assert np.isfinite(episode.reward).all()
