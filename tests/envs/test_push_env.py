"""What Push observes, rewards, carries and accepts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax import envs as brax_envs
from brax_ppo import train_briefly
from episodes import NUM_COMPARED

import explorax_envs
from explorax_envs.push import Push, PushTask


@pytest.fixture(scope="module")
def env() -> Push:
    return Push()


@pytest.fixture(scope="module")
def step(env):
    return jax.jit(env.step)


@pytest.fixture
def touching_task() -> PushTask:
    """Block 2 lies against the palm, between the fingers."""
    qpos = jnp.zeros(13).at[7].set(0.05 - 0.6).at[8].set(0.02)
    qpos = qpos.at[jnp.array([3, 5, 9, 11])].set(1.0)
    return PushTask(block=jnp.int32(2), goal=jnp.array([0.8, 0.1]), qpos=qpos)


def block_to_goal(episodes) -> np.ndarray:
    """Distance (N, T) of the block that counts to the goal after every step."""
    blocks = episodes.obs[:, 1:, 3:13].reshape(len(episodes.obs), 100, 5, 2)
    block = blocks[np.arange(len(blocks)), :, np.asarray(episodes.tasks.block)]
    return np.linalg.norm(block - np.asarray(episodes.tasks.goal)[:, None], axis=-1)


def test_observation_is_hand_blocks_velocities_in_this_order(env):
    task = PushTask(jnp.int32(0), jnp.array([0.9, 0.0]), qpos=jnp.arange(13.0))
    state = env.reset(jax.random.key(0), task)
    blocks = [3.2, 4, 5.4, 6, 7.6, 8, 9.8, 10, 12.0, 12]
    np.testing.assert_allclose(state.obs, [0, 1, 2, *blocks, *np.zeros(13)], rtol=1e-6)
    carry = env.pack(state)._replace(qvel=jnp.arange(13.0) + 20)
    np.testing.assert_array_equal(env.unpack(carry, task).obs[13:], np.arange(13.0) + 20)


def test_features_are_the_positions_that_the_reward_looks_at(env, step, touching_task):
    features = {name: np.array(at) for name, at in Push.features.items()}
    np.testing.assert_array_equal(features["full"], np.arange(26))
    state = env.reset(jax.random.key(0), touching_task)
    np.testing.assert_allclose(state.obs[features["blocks"]][4:6], [0.05, 0.02], atol=1e-6)
    for block in range(5):
        task = touching_task._replace(block=jnp.int32(block))
        after = step(env.unpack(env.pack(state), task), jnp.array([1.0, 0.5, 0.0]))
        xy = after.obs[features["blocks"]].reshape(5, 2)[block]
        np.testing.assert_allclose(after.reward, -5 * np.linalg.norm(xy - task.goal), rtol=1e-5)
    hand = after.pipeline_state.qpos[:2]
    with_hand = np.concatenate([hand, after.obs[features["blocks"]]])
    assert np.abs(hand).min() > 0
    np.testing.assert_array_equal(after.obs[features["blocks_hand"]], with_hand)


def test_sizes(env):
    assert (env.observation_size, env.action_size, env.horizon) == (26, 3, 100)
    assert env.backend == "mjx"
    assert float(env.dt) == pytest.approx(0.01)


def test_dense_reward_is_minus_five_times_the_distance_after_the_step(exact_episodes):
    distance = block_to_goal(exact_episodes)
    np.testing.assert_allclose(exact_episodes.reward, -5 * distance, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(exact_episodes.success, distance <= 0.2)


def test_sparse_reward_is_constant_beyond_the_radius(fast_episodes):
    distance = block_to_goal(fast_episodes)
    goal = np.linalg.norm(fast_episodes.tasks.goal, axis=-1, keepdims=True)
    expected = -5 * np.where(distance <= 0.2, distance, goal)
    np.testing.assert_allclose(fast_episodes.reward, expected, rtol=1e-5, atol=1e-5)
    assert 0 < fast_episodes.success.mean() < 1


def test_doing_nothing_scores_minus_440(fast_episodes):
    returns = fast_episodes.reward[NUM_COMPARED:].sum(axis=-1)
    assert returns.mean() == pytest.approx(-440, abs=15)


def test_rewards_by_hand(env, step):
    """3-4-5 triangle: the block that counts stands 0.5 m from the goal."""
    qpos = jnp.zeros(13).at[3].set(0.4).at[4].set(0.0).at[5:].set(5.0)
    task = PushTask(jnp.int32(0), jnp.array([0.9, 0.4]), qpos)
    state = step(env.reset(jax.random.key(0), task), jnp.zeros(3))
    np.testing.assert_allclose(state.reward, -2.5, rtol=1e-5)
    assert state.metrics["success"] == 0
    assert state.done == 0


def test_actions_are_clipped_and_then_scaled(env, step, touching_task):
    state = env.reset(jax.random.key(0), touching_task)
    inside, outside = (
        step(state, jnp.array([1.0, -1.0, 0.5])),
        step(state, jnp.array([7.0, -3.0, 0.5])),
    )
    np.testing.assert_array_equal(inside.obs, outside.obs)
    moved = step(state, jnp.array([-1.0, 0.0, 0.0]))
    np.testing.assert_allclose(moved.obs[13], -0.02 / 0.051, rtol=1e-5)


def test_unpacked_states_continue_bit_equal(env, step, touching_task):
    actions = jax.random.uniform(jax.random.key(1), (30, 3), minval=-0.2, maxval=1.0)
    state = env.reset(jax.random.key(0), touching_task)
    for action in actions:
        carried = step(env.unpack(env.pack(state), touching_task), action)
        state = step(state, action)
        jax.tree.map(np.testing.assert_array_equal, carried.obs, state.obs)
        np.testing.assert_array_equal(carried.reward, state.reward)
        jax.tree.map(np.testing.assert_array_equal, env.pack(carried), env.pack(state))
    assert state.obs[7] > touching_task.qpos[7] + 0.6 + 0.02
    assert step._cache_size() == 1, "states of reset, step and unpack compile to one program"


def test_step_keeps_the_structure_of_reset(env):
    state = jax.eval_shape(env.reset, jax.random.key(0))
    after = jax.eval_shape(env.step, state, jnp.zeros(3))
    assert jax.tree.structure(state) == jax.tree.structure(after)
    for before, now in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (before.shape, before.dtype) == (now.shape, now.dtype)


def test_typed_and_raw_keys_draw_the_same_task(env):
    typed = env.reset(jax.random.key(5)).info["task"]
    raw = env.reset(jax.random.PRNGKey(5)).info["task"]
    jax.tree.map(np.testing.assert_array_equal, typed, raw)


def test_sample_tasks_returns_as_many_as_asked(env):
    tasks = env.sample_tasks(jax.random.key(0), 7)
    assert tasks.to_array().shape == (7, 16)
    np.testing.assert_array_equal(tasks.block, [0, 1, 2, 3, 4, 0, 1])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"block_shape": "ball"}, "block_shape must be one of disc, box; got 'ball'"),
        ({"reward": "none"}, "reward must be one of dense, sparse; got 'none'"),
        ({"physics": "slow"}, "physics must be one of fast, exact; got 'slow'"),
    ],
)
def test_bad_arguments_name_the_field_and_its_choices(kwargs, message):
    with pytest.raises(ValueError, match=message):
        explorax_envs.make("push", **kwargs)


def test_brax_knows_the_environment():
    env = brax_envs.create("explorax_push", episode_length=100, reward="sparse")
    assert isinstance(env.unwrapped, Push)
    assert env.unwrapped.reward == "sparse"


@pytest.mark.slow
def test_brax_ppo_trains_on_it_unmodified(env):
    metrics = train_briefly(env)
    assert -700 < float(metrics["eval/episode_reward"]) < 0
    assert float(metrics["eval/avg_episode_length"]) == env.horizon
