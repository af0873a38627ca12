"""RL2: what the policy remembers, and that training sees what acting saw."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from explorax import meta_update, nets, parallel, trials
from explorax.algos.rl2 import rl2
from explorax.returns import discounted_returns
from explorax.types import Percept
from explorax_envs.point import Point

STAGES, TASKS, TRIALS = 3, 2, 4
CONFIG = rl2(
    num_train_tasks=TASKS,
    meta_batch_size=TASKS,
    num_episodes=TRIALS,
    num_inner_steps=STAGES - 1,
    hidden_sizes=(8,),
    memory_size=6,
)
POLICY = meta_update.policy_of(Point(), CONFIG)


class Cliff(Point):
    """Episodes that end where x exceeds 0.2."""

    def step(self, state, action):
        state = super().step(state, action)
        return state.replace(done=(state.obs[0] > 0.2).astype(jnp.float32))


def sample(env, config=CONFIG, seed=0):
    """First state and a batch of its trials, leading axes (S, N)."""
    state = meta_update.init_state(env, POLICY, config, jax.random.key(seed))
    index, keys = jnp.arange(TASKS), jax.random.split(jax.random.key(1), TASKS)
    program = jax.jit(
        lambda s: trials.sample_trials(env, POLICY, config, s.params, index, s.tasks, keys)
    )
    return state, program(state)


def of_task(batch, n: int):
    return jax.tree.map(lambda x: x[:, n], batch)


@pytest.mark.parametrize("env", [pytest.param(Point(), marks=pytest.mark.slow), Cliff()])
def test_training_sees_what_acting_saw(env):
    """The distributions of recorded trials come out again: percepts and memory are the same."""
    state, batch = sample(env)
    for n in range(TASKS):
        trajectory = of_task(batch.trajectory, n)
        whole = trials.join_episodes(trajectory)
        dist = trials.act_on_percepts(
            POLICY, state.params.policy, trials.percepts_again(whole, env.horizon)
        )
        np.testing.assert_allclose(dist.mean, whole.action_dist.mean, atol=1e-6)
        np.testing.assert_array_equal(whole.obs[:, env.horizon], trajectory.obs[1, :, 0])
    loss = trials.trial_loss(POLICY, CONFIG, state.params.policy, of_task(batch, 0))
    np.testing.assert_allclose(loss.kl_policy, 0.0, atol=1e-6)
    assert loss.clip_fraction == 0.0
    if isinstance(env, Cliff):
        assert 0 < batch.trajectory.alive.mean() < 1


def test_percepts_by_hand():
    """Actions are clipped, rewards are one late, and every episode has a start."""
    _, batch = sample(Point())
    whole = trials.join_episodes(of_task(batch.trajectory, 0))
    percepts = trials.percepts_again(whole, 20)
    assert not percepts.last_action[:, 0].any()
    assert not percepts.last_reward[:, 0].any()
    np.testing.assert_array_equal(percepts.last_action[:, 1:], np.clip(whole.action, -1, 1)[:, :-1])
    np.testing.assert_array_equal(percepts.last_reward[:, 1:], whole.reward[:, :-1])
    starts = np.flatnonzero(percepts.start[0])
    np.testing.assert_array_equal(starts, [0, 20, 40])


def test_the_memory_outlives_the_episode_but_not_the_trial():
    """What was seen in a first episode changes the second one's first action, and only there."""
    state, batch = sample(Point())
    first_step = jax.tree.map(lambda x: x[:, :, :, 0], batch.trajectory.action_dist.mean)
    assert np.ptp(first_step[0], axis=(0, 1)).max() == 0.0, "an empty memory, the same position"
    assert np.ptp(first_step[1], axis=1).min() > 0.0
    # A policy that forgets acts in each first step as in the very first.
    forgetful = POLICY._replace(remember=lambda theta, memory, percept: memory)
    index, keys = jnp.arange(TASKS), jax.random.split(jax.random.key(1), TASKS)
    forgotten = trials.sample_trials(
        Point(), forgetful, CONFIG, state.params, index, state.tasks, keys
    )
    assert np.ptp(forgotten.trajectory.action_dist.mean[:, :, :, 0]) == 0.0


def test_remembering_by_hand():
    """The GRU of Cho et al. 2014 in numpy."""
    theta = POLICY.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    memory, obs, action = (rng.normal(size=n).astype(np.float32) for n in (6, 2, 2))
    percept = Percept(jnp.array(obs), jnp.array(action), jnp.float32(-0.7), jnp.float32(1.0))
    gru = jax.device_get(theta["remember"]["params"])
    x = np.concatenate([obs, action, [-0.7, 1.0]])
    of_inputs = np.split(x @ gru["inputs"]["kernel"] + gru["inputs"]["bias"], 3)
    of_memory = np.split(memory @ gru["memory"]["kernel"], 3)
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    reset, update = (sigmoid(of_inputs[i] + of_memory[i]) for i in (0, 1))
    new = np.tanh(of_inputs[2] + reset * (of_memory[2] + gru["bias"]))
    expected = (1 - update) * new + update * memory
    np.testing.assert_allclose(POLICY.remember(theta, memory, percept), expected, atol=1e-6)


def test_the_memory_is_flaxs():
    """``flax.linen.GRUCell`` of the same weights does the same; its first ones are as large."""
    size, gru, cell = 64, nets.GRU(64), nn.GRUCell(64)
    key, memory = jax.random.key(0), jax.random.normal(jax.random.key(1), (5, size))
    inputs = jax.random.normal(jax.random.key(2), (5, 32))
    ours = gru.init(key, memory, inputs)["params"]
    theirs = cell.init(key, memory, inputs)["params"]
    blocks = jnp.split(ours["memory"]["kernel"], 3, axis=1)
    for block in blocks:
        np.testing.assert_allclose(block.T @ block, np.eye(size), atol=1e-5)
    assert np.abs(blocks[0] - blocks[1]).max() > 0.1 < np.abs(blocks[1] - blocks[2]).max()
    spread = [np.std(x) for x in (ours["inputs"]["kernel"], theirs["in"]["kernel"])]
    np.testing.assert_allclose(*spread, rtol=0.1)
    # biases are 0 at first
    ours["inputs"]["bias"] = jax.random.normal(jax.random.key(3), (3 * size,))
    ours["bias"] = jax.random.normal(jax.random.key(4), (size,))
    for part, letter in (("inputs", "i"), ("memory", "h")):
        for name, value in ours[part].items():
            for gate, of_gate in zip("rzn", jnp.split(value, 3, axis=-1), strict=True):
                theirs[letter + gate][name] = of_gate
    theirs["hn"]["bias"] = ours["bias"]
    expected, _ = cell.apply({"params": theirs}, memory, inputs)
    np.testing.assert_allclose(gru.apply({"params": ours}, memory, inputs), expected, atol=1e-6)


def test_advantages_reach_over_the_end_of_an_episode():
    """A reward in the last episode is worth something in the first, discounted."""
    config = dataclasses.replace(CONFIG, discount=0.9)
    _, batch = sample(Point(), config)
    trajectory = of_task(batch.trajectory, 0)
    reward = np.zeros_like(trajectory.reward)
    reward[-1, 0, 5] = 1.0  # of the first trial, and of no other
    got = trials.trial_advantages(config, trajectory._replace(reward=jnp.array(reward)))
    assert got.advantage.shape == trajectory.reward.shape
    whole = trials.join_episodes(trajectory._replace(reward=jnp.array(reward)))
    returns = discounted_returns(whole.reward, 0.9)
    np.testing.assert_allclose(returns[0, 40], 0.9**5, rtol=1e-5)
    np.testing.assert_allclose(returns[0, 0], 0.9**45, rtol=1e-5)
    late, early = got.advantage[-1, :, 5], got.advantage[-2, :, -1]
    assert late[0] > late[1:].max()
    assert early[0] > early[1:].max(), "before the end of the episode before"


def test_the_gradient_is_that_of_finite_differences():
    """Through time and over the episodes' ends, in a random direction."""
    state, batch = sample(Point())
    theta = state.params.policy
    theta = jax.tree.map(
        lambda x, k: x + 0.05 * jax.random.normal(k, x.shape),
        theta,
        jax.tree.unflatten(
            jax.tree.structure(theta),
            list(jax.random.split(jax.random.key(5), len(jax.tree.leaves(theta)))),
        ),
    )
    direction = jax.tree.map(jnp.cos, theta)
    config = dataclasses.replace(
        CONFIG,
        ppo=dataclasses.replace(CONFIG.ppo, clip_epsilon=0.9),  # smooth over the step
    )
    with jax.enable_x64():
        double = lambda tree: jax.tree.map(  # noqa: E731
            lambda x: jnp.asarray(x, jnp.float64), tree
        )
        one, theta, direction = double(of_task(batch, 0)), double(theta), double(direction)
        loss = jax.jit(lambda p: trials.trial_loss(POLICY, config, p, one).loss)
        along = lambda h: loss(jax.tree.map(lambda x, d: x + h * d, theta, direction))  # noqa: E731
        expected = (along(1e-6) - along(-1e-6)) / 2e-6
        _, got = jax.jvp(loss, (theta,), (direction,))
        remember = jax.grad(loss)(theta)["remember"]
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(remember))


@pytest.mark.slow
def test_trials_on_the_point_robot_are_learned():
    """With a dense reward the last episode of a trial finds the goal."""
    config = rl2(num_episodes=8, hidden_sizes=(32,), memory_size=32)
    mesh = parallel.task_mesh(config.meta_batch_size)
    learner = meta_update.build(Point(), config, mesh)
    state = parallel.replicate(jax.jit(learner.init)(jax.random.key(0)), mesh)
    _, metrics = jax.jit(lambda s: jax.lax.scan(lambda s, _: learner.update(s), s, length=60))(
        state
    )
    assert metrics["success_post"][-1] > 0.9
    assert metrics["return_post"][-1] > metrics["return_pre"][-1] + 1.0
