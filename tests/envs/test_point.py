"""The point robot, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax import envs as brax_envs
from brax_ppo import train_briefly
from PIL import Image

import explorax_envs
from explorax_envs.point import GoalTask, Point, render

UP = GoalTask(jnp.array([0.0, 1.0]))


def test_an_episode_by_hand():
    env = Point()
    state = env.reset(jax.random.key(0), UP)
    np.testing.assert_array_equal(state.obs, [0, 0])
    state = env.step(state, jnp.array([0.5, 9.0]))
    np.testing.assert_allclose(state.obs, [0.05, 0.1], rtol=1e-6)
    np.testing.assert_allclose(state.reward, -np.hypot(0.05, 0.9), rtol=1e-6)
    assert (state.metrics["success"], state.done) == (0, 0)


def test_sparse_reward_is_constant_beyond_the_radius():
    env = Point("sparse")
    far = env.step(env.unpack(jnp.array([0.3, 0.6]), UP), jnp.zeros(2))
    near = env.step(env.unpack(jnp.array([0.0, 0.8]), UP), jnp.array([0.0, 0.5]))
    assert (far.reward, far.metrics["success"]) == (-1, 0)
    np.testing.assert_allclose(near.reward, -0.15, rtol=1e-5)
    assert near.metrics["success"] == 1


def test_beyond_the_radius_the_cost_is_the_goals_own_distance():
    env = Point("sparse")
    state = env.step(env.unpack(jnp.zeros(2), GoalTask(jnp.array([0.0, 2.0]))), jnp.zeros(2))
    assert state.reward == -2


@pytest.mark.parametrize("lost", [jnp.nan, jnp.inf])
@pytest.mark.parametrize("reward", ["dense", "sparse"])
def test_a_position_that_is_lost_does_not_score_as_doing_nothing(reward, lost):
    """A diverged run's return is NaN, which is said of it."""
    env = Point(reward)
    state = env.step(env.unpack(jnp.full(2, lost), UP), jnp.zeros(2))
    assert jnp.isnan(state.reward)
    assert state.metrics["success"] == 0


def test_goals_lie_on_the_upper_half_circle():
    goal = np.asarray(Point().sample_tasks(jax.random.key(0), 2000).goal)
    np.testing.assert_allclose(np.linalg.norm(goal, axis=-1), 1, rtol=1e-5)
    angle = np.arctan2(goal[:, 1], goal[:, 0])
    assert angle.min() >= 0
    assert angle.mean() == pytest.approx(np.pi / 2, abs=0.1)
    assert angle.std() == pytest.approx(np.pi / np.sqrt(12), abs=0.05)


def test_packed_states_continue_and_vmap():
    env = Point("sparse")
    tasks = env.sample_tasks(jax.random.key(0), 3)

    def twice(task):
        state = env.step(env.reset(jax.random.key(0), task), jnp.ones(2))
        return state, env.unpack(env.pack(state), task)

    state, unpacked = jax.jit(jax.vmap(twice))(tasks)
    np.testing.assert_array_equal(state.obs, unpacked.obs)
    jax.tree.map(np.testing.assert_array_equal, unpacked.info["task"], tasks)


def test_features_are_the_position():
    assert Point.features == {"full": (0, 1), "position": (0, 1)}


def test_sizes_and_brax():
    env = brax_envs.create("explorax_point", episode_length=20)
    assert (env.observation_size, env.action_size, env.unwrapped.horizon) == (2, 2, 20)


@pytest.mark.slow
def test_brax_ppo_trains_on_it_unmodified():
    metrics = train_briefly(Point())
    assert np.isfinite(metrics["eval/episode_reward"])


def test_bad_arguments_name_the_field_and_its_choices():
    with pytest.raises(ValueError, match="reward must be one of dense, sparse; got 'x'"):
        Point(reward="x")
    with pytest.raises(
        ValueError, match="name must be one of ant, point, push, wheeled; got 'pint'"
    ):
        explorax_envs.make("pint")


def test_an_episode_is_drawn(tmp_path):
    render(np.linspace([0.0, 0.0], [0.3, 1.1], 8), tmp_path / "episode.gif", UP)
    with Image.open(tmp_path / "episode.gif") as image:
        assert (image.format, image.n_frames) == ("GIF", 8)
