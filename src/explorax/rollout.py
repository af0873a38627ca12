"""Many policies act for one episode each: tasks times episodes, one scan over time."""

from functools import partial
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from explorax import distributions
from explorax.config import Adapt
from explorax.nets import Policy
from explorax.types import ActionDist, Env, Gaussian, Percept, PyTree, Task, Trajectory


class TaskParams(NamedTuple):
    """What one task acts with; the inner loop moves some of it."""

    latent: Gaussian  # N(mu_i, sigma_i), leaves (L,)
    policy: PyTree  # theta


def task_axes(adapt: Adapt) -> TaskParams:
    """Which of TaskParams has a task axis: theta only where the inner step moves it."""
    return TaskParams(latent=0, policy=None if adapt == "latents" else 0)  # pyright: ignore


class RolloutStreams(NamedTuple):
    """The random streams of one episode."""

    reset: PRNGKeyArray
    latent: PRNGKeyArray
    action: PRNGKeyArray


class Episode(NamedTuple):
    """What an episode is given when it starts."""

    latent: Float[Array, " L"]  # z, drawn once for the episode (MAESN, section 4.1)
    latent_noise: Float[Array, " L"]
    latent_log_prob: Float[Array, ""]
    action_noise: Float[Array, "T A"]
    packed: PyTree  # the environment's first state, packed
    obs: Float[Array, " O"]  # its observation


def begin_episode(env: Env, latent: Gaussian, task: Task, key: PRNGKeyArray) -> Episode:
    """Draws all of one episode's randomness and resets the environment to ``task``."""
    streams = RolloutStreams(*jax.random.split(key, len(RolloutStreams._fields)))
    noise = jax.random.normal(streams.latent, latent.mean.shape)
    action_noise = jax.random.normal(streams.action, (env.horizon, env.action_size))
    state = env.reset(streams.reset, task)
    z = distributions.sample(latent, noise)
    z_log_prob = distributions.log_prob(latent, z)
    return Episode(z, noise, z_log_prob, action_noise, env.pack(state), state.obs)


class Recall(NamedTuple):
    """What a policy with a memory takes from one step, or episode, of a task to the next."""

    memory: Float[Array, "N K H"]
    action: Float[Array, "N K A"]  # the last one, clipped to [-1, 1]
    reward: Float[Array, "N K"]  # the last one


def nothing_to_recall(env: Env, policy: Policy, shape: tuple[int, ...]) -> Recall:
    """Before a task's first episode: zeros, ``shape`` (N, K)."""
    memory = jnp.zeros((*shape, policy.memory_size))
    return Recall(memory, jnp.zeros((*shape, env.action_size)), jnp.zeros(shape))


def rollout(
    env: Env,
    policy: Policy,
    params: TaskParams,
    params_axes: TaskParams,
    tasks: Task,
    keys: PRNGKeyArray,
) -> Trajectory:
    """``K`` episodes of ``env.horizon`` steps for each of ``N`` tasks.

    Args:
      env: static environment, unbatched.
      policy: pi_theta(a | s, z).
      params: each task's latent distribution (N, L) and theta, shared or (N, ...).
      params_axes: their task axes as for ``jax.vmap``: 0, or None where shared.
      tasks: leading axis N.
      keys: typed keys (N, K), consumed.

    Returns:
      A Trajectory with leading axes (N, K). Once an episode has ended, its state stays as it is
      and its rewards are 0.
    """
    chex.assert_rank(keys, 2)
    recall = nothing_to_recall(env, policy, keys.shape)
    return next_episode(env, policy, params, params_axes, recall, tasks, keys)[0]


def rollout_given(
    env: Env,
    policy: Policy,
    theta: PyTree,
    tasks: Task,
    latents: Float[Array, "N L"],
    keys: PRNGKeyArray,
) -> Trajectory:
    """One episode per task, latent and key (N,); each keeps its latent from beginning to end."""
    certain = Gaussian(latents, jnp.full_like(latents, -jnp.inf))  # z is this latent
    params, axes = TaskParams(certain, theta), task_axes("latents")
    trajectory = rollout(env, policy, params, axes, tasks, keys[:, None])
    return jax.tree.map(lambda x: x[:, 0], trajectory)


def next_episode(
    env: Env,
    policy: Policy,
    params: TaskParams,
    params_axes: TaskParams,
    recall: Recall,
    tasks: Task,
    keys: PRNGKeyArray,
) -> tuple[Trajectory, Recall]:
    """``rollout`` with, and followed by, what a policy recalls of a task (N, K).

    An episode and a step are written for one. The vmaps stand inside the scan over time, over one
    flat axis of N*K episodes: to trace a vmap of a scan, or two nested vmaps, of a physics engine
    takes several times as long. Only the policy sees N apart, since theta may differ by task. One
    that has no memory carries an empty one.
    """
    num_tasks, num_episodes = keys.shape
    chex.assert_tree_shape_prefix((params.latent, tasks, recall.memory), (num_tasks,))
    episode_task = _repeat(tasks, num_episodes)
    begin = jax.vmap(lambda latent, task, key: begin_episode(env, latent, task, key))
    episode = begin(_repeat(params.latent, num_episodes), episode_task, _flat(keys))
    latents = [
        _unflat(x, keys.shape)
        for x in (episode.latent, episode.latent_noise, episode.latent_log_prob)
    ]
    act = jax.vmap(partial(act_once, policy), in_axes=(params_axes.policy, 0, 0, 0))

    def step_one(packed, task, action):
        state = env.step(env.unpack(packed, task), action)
        earned = state.reward, state.metrics.get("task_reward", state.reward)
        return (env.pack(state), state.obs), earned, state.metrics["success"], state.done

    def step(carry, inputs):
        (packed, obs), alive, recall = carry
        noise, start = inputs
        start = jnp.full(keys.shape, start)
        percept = Percept(_unflat(obs, keys.shape), recall.action, recall.reward, start)
        memory, dist = act(params.policy, recall.memory, percept, latents[0])
        dist = _flat(dist)
        action = distributions.sample(dist, noise)
        after, earned, success, done = jax.vmap(step_one)(packed, episode_task, action)
        after, (reward, task_reward) = where(alive, after, (packed, obs)), alive * jnp.stack(earned)
        log_prob = distributions.log_prob(dist, action)
        last = _unflat((jnp.clip(action, -1.0, 1.0), reward), keys.shape)
        carry = (after, alive * (1.0 - done), Recall(memory, *last))
        return carry, (obs, action, dist, log_prob, reward, task_reward, success * alive, alive)

    start = jnp.zeros(env.horizon).at[0].set(1.0)
    first = ((episode.packed, episode.obs), jnp.ones(num_tasks * num_episodes), recall)
    inputs = (jnp.moveaxis(episode.action_noise, 1, 0), start)
    (_, _, recall), per_step = jax.lax.scan(step, first, inputs)
    per_step = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), per_step)
    return Trajectory(*[*_unflat(per_step, keys.shape), *latents]), recall


def act_once(
    policy: Policy,
    theta: PyTree,
    memory: Float[Array, "K H"],
    percept: Percept,
    latent: Float[Array, "K L"],
) -> tuple[Float[Array, "K H"], ActionDist]:
    """One task's new memories and action distributions, for one step of its K episodes."""
    memory = policy.remember(theta, memory, percept)
    context = jnp.concatenate([latent, memory], axis=-1)
    return memory, policy.apply(theta, percept.obs, context)


def _flat(tree: PyTree) -> PyTree:
    """(N, K, ...) as (N*K, ...)."""
    return jax.tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]), tree)


def _unflat(tree: PyTree, shape: tuple[int, ...]) -> PyTree:
    """(N*K, ...) as (N, K, ...)."""
    return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), tree)


def _repeat(tree: PyTree, num_episodes: int) -> PyTree:
    """(N, ...) as (N*K, ...)."""
    return jax.tree.map(lambda x: jnp.repeat(x, num_episodes, axis=0), tree)


def stage_keys(keys: PRNGKeyArray, stage: Int[Array, ""], num_episodes: int) -> PRNGKeyArray:
    """Keys (N, K) of the episodes at a stage, derived from the task keys (N,)."""
    return jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, stage), num_episodes))(
        keys
    )


def where(condition: Float[Array, " E"], new: PyTree, old: PyTree) -> PyTree:
    """For each episode, ``new`` where ``condition`` is not 0, else ``old``."""

    def leaf(a: Array, b: Array) -> Array:
        return jnp.where(condition.reshape(-1, *[1] * (a.ndim - 1)) > 0, a, b)

    return jax.tree.map(leaf, new, old)


def returns_and_success(trajectory: Trajectory) -> tuple[Array, Array]:
    """Undiscounted return and whether some step succeeded, per episode (time is the last axis)."""
    return jnp.sum(trajectory.task_reward, axis=-1), jnp.max(trajectory.success, axis=-1)
