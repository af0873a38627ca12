"""Wheeled: what it observes and rewards, its physics against MuJoCo C, its files and pictures."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax import envs as brax_envs
from brax_ppo import train_briefly
from PIL import Image

import explorax_envs
from explorax_envs.mjx_env import Carry
from explorax_envs.wheeled import (
    GoalTask,
    Wheeled,
    render,
    scene_xml,
)
from physics import in_mujoco, shaken_actions

NUM_EPISODES = 64
UP = GoalTask(jnp.array([0.0, 2.0]))


class Drives(NamedTuple):
    """Episodes of shaken constant torques."""

    first: np.ndarray  # (N, 12), the first observations
    obs: np.ndarray  # (N, T, 12), after every step
    reward: np.ndarray  # (N, T)
    actions: np.ndarray  # (N, T, 2)


def drive(physics: str, reward: str = "dense", scale: float = 1.0) -> Drives:
    """Every episode with its own torques, which persistent noise shakes."""
    actions = scale * shaken_actions(np.random.default_rng(0), (NUM_EPISODES, 200, 2))
    env = Wheeled(reward, physics)
    tasks = env.sample_tasks(jax.random.key(0), NUM_EPISODES)
    keys = jax.random.split(jax.random.key(1), NUM_EPISODES)

    def episode(key, task, actions):
        def step(carry, action):
            state = env.step(env.unpack(carry, task), action)
            return env.pack(state), (state.obs, state.reward)

        first = env.reset(key, task)
        return first.obs, *jax.lax.scan(step, env.pack(first), actions)[1]

    return Drives(*map(np.asarray, jax.jit(jax.vmap(episode))(keys, tasks, actions)), actions)


def drift(drives: Drives) -> np.ndarray:
    """Largest error (m, rad) of x, y and yaw where an episode ends in MuJoCo's C engine."""
    first, pose = Carry(drives.first[:, :6], drives.first[:, 6:]), np.array([0, 1, 3])
    ends = in_mujoco(scene_xml(), first, 2 * drives.actions)[:, pose]
    assert np.linalg.norm(ends[:, :2], axis=-1).mean() > 0.5, "the cars hardly move"
    assert np.abs(ends[:, 2]).mean() > 1, "nor turn"
    return np.abs(drives.obs[:, -1, pose] - ends).max(axis=-1)


@pytest.mark.slow
def test_fast_physics_follows_mujoco():
    error = drift(drive("fast"))
    assert np.median(error) <= 1e-4
    assert np.quantile(error, 0.9) <= 5e-3


@pytest.mark.slow
def test_exact_physics_follows_mujoco():
    assert np.quantile(drift(drive("exact")), 0.9) <= 1e-4


@pytest.mark.slow
def test_doing_nothing_scores_as_the_paper_says():
    drives = drive("fast", "sparse", scale=0.0)
    np.testing.assert_allclose(drives.reward.sum(axis=-1), -400, atol=0.1)


def test_rewards_by_hand():
    env = Wheeled()
    state = env.unpack(env.pack(env.reset(jax.random.key(0), UP)), UP)
    state = env.step(state, jnp.array([0.5, -9.0]))
    distance = np.linalg.norm(state.obs[:2] - np.array([0, 2]))
    np.testing.assert_allclose(state.reward, -distance - 0.05 * (1**2 + 2**2), rtol=1e-5)
    assert state.metrics["success"] == 0


def test_features_hold_the_position_that_the_reward_looks_at():
    assert Wheeled.features["full"] == tuple(range(12))
    env = Wheeled()
    state = env.step(env.reset(jax.random.key(0), UP), jnp.zeros(2))
    position = state.obs[np.array(env.features["position"])]
    np.testing.assert_allclose(state.reward, -np.linalg.norm(position - UP.goal), rtol=1e-6)


@pytest.mark.parametrize(("y", "cost", "success"), [(1.1, 2.0, 0), (1.3, 0.7, 1)])
def test_sparse_reward_within_and_beyond_the_radius(y, cost, success):
    env = Wheeled("sparse")
    carry = env.pack(env.reset(jax.random.key(0), UP))
    at = carry._replace(qpos=jnp.zeros(6).at[1].set(y), qvel=jnp.zeros(6))
    state = env.step(env.unpack(at, UP), jnp.zeros(2))
    np.testing.assert_allclose(state.reward, -cost, atol=2e-3)
    assert state.metrics["success"] == success


def test_goals_lie_on_the_upper_half_circle_of_two_metres():
    goal = np.asarray(Wheeled().sample_tasks(jax.random.key(0), 500).goal)
    np.testing.assert_allclose(np.linalg.norm(goal, axis=-1), 2, rtol=1e-5)
    assert goal[:, 1].min() >= 0


def test_reset_noise_is_the_papers():
    env = Wheeled()
    obs = jax.vmap(lambda key: env.reset(key, UP).obs)(jax.random.split(jax.random.key(0), 2000))
    np.testing.assert_allclose(obs[:, :6].std(axis=0), 0.01, rtol=0.1)
    np.testing.assert_allclose(obs[:, 6:].std(axis=0), 0.1, rtol=0.1)


@pytest.mark.slow
def test_nothing_breaks_in_10_000_random_steps_of_256_cars():
    env = Wheeled()

    def step(carry, key):
        packed, task = carry
        action = jax.random.uniform(key, (256, 2), minval=-1.0)
        state = jax.vmap(lambda p, t, a: env.step(env.unpack(p, t), a))(packed, task, action)
        finite = jnp.isfinite(state.obs).all() & jnp.isfinite(state.reward).all()
        return (jax.vmap(env.pack)(state), task), finite

    def run(key):
        tasks = env.sample_tasks(key, 256)
        states = jax.vmap(env.reset)(jax.random.split(key, 256), tasks)
        keys = jax.random.split(key, 10_000)
        return jax.lax.scan(step, (jax.vmap(env.pack)(states), tasks), keys)[1]

    assert jax.jit(run)(jax.random.key(0)).all()


def test_sizes_and_brax():
    env = brax_envs.create("explorax_wheeled", episode_length=200)
    assert (env.observation_size, env.action_size, env.unwrapped.horizon) == (12, 2, 200)
    assert (env.backend, float(env.dt)) == ("mjx", pytest.approx(0.01))


@pytest.mark.slow
def test_brax_ppo_trains_on_it_unmodified():
    assert np.isfinite(train_briefly(Wheeled())["eval/episode_reward"])


def test_task_files_and_arrays_round_trip(tmp_path):
    tasks = Wheeled().sample_tasks(jax.random.key(0), 3)
    explorax_envs.save_tasks("wheeled", tmp_path / "tasks.npz", tasks)
    loaded = explorax_envs.load_tasks("wheeled", tmp_path / "tasks.npz")
    for other in (loaded, GoalTask.from_array(tasks.to_array())):
        np.testing.assert_array_equal(other.goal, tasks.goal)
    with pytest.raises(ValueError, match="holds tasks of 'wheeled', not of 'push'"):
        explorax_envs.load_tasks("push", tmp_path / "tasks.npz")


def test_pictures(tmp_path):
    obs = np.zeros((8, 12), np.float32)
    obs[:, 1], obs[:, 3] = np.linspace(0, 1.6, 8), np.linspace(0, np.pi / 2, 8)
    render(obs, tmp_path / "episode.gif", UP)
    render(obs, tmp_path / "episode.png", UP, title="a title")
    with Image.open(tmp_path / "episode.gif") as image:
        assert (image.format, image.n_frames) == ("GIF", 8)
    with Image.open(tmp_path / "episode.png") as image:
        assert image.format == "PNG"


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [({"reward": "x"}, "reward must be one of"), ({"physics": "x"}, "physics must be one of")],
)
def test_bad_arguments_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Wheeled(**kwargs)
