"""Push episodes with many contacts."""

from typing import NamedTuple

import jax
import numpy as np

from explorax_envs.push import Push, PushTask

NUM_COMPARED = 64
NUM_EPISODES = 320


class Episodes(NamedTuple):
    """Episodes of many tasks."""

    tasks: PushTask  # leading axis N
    obs: np.ndarray  # (N, T + 1, 26), the last one after the last step
    reward: np.ndarray  # (N, T)
    success: np.ndarray  # (N, T)
    actions: np.ndarray  # (N, T, 3)


def pushing_actions(tasks: PushTask, seed: int) -> np.ndarray:
    """(N, 100, 3): the hand drives at block n mod 5 of its task, shaken by persistent noise."""
    rng = np.random.default_rng(seed)
    num_tasks = len(tasks.block)
    origin = np.stack([0.2 * np.arange(1, 6), np.zeros(5)], axis=-1)
    blocks = np.asarray(tasks.qpos)[:, 3:].reshape(num_tasks, 5, 2) + origin
    target = blocks[np.arange(num_tasks), np.arange(num_tasks) % 5]
    force = target / np.abs(target).max(axis=-1, keepdims=True)
    force = force * rng.uniform(0.3, 0.9, (num_tasks, 1))
    drive = np.concatenate([force, rng.uniform(-0.2, 0.2, (num_tasks, 1))], axis=-1)
    noise = np.zeros((num_tasks, 3))
    actions = np.zeros((num_tasks, 100, 3), np.float32)
    for step in range(100):
        noise = 0.9 * noise + 0.15 * rng.normal(size=noise.shape)
        actions[:, step] = np.clip(drive + noise, -1, 1)
    return actions


def roll(env: Push, tasks: PushTask, actions: np.ndarray) -> Episodes:
    """Runs every task with its actions, carrying only what `Push.pack` keeps."""

    def episode(task, actions):
        def step(carry, action):
            state = env.step(env.unpack(carry, task), action)
            return env.pack(state), (state.obs, state.reward, state.metrics["success"])

        first = env.reset(jax.random.key(0), task)
        _, (obs, reward, success) = jax.lax.scan(step, env.pack(first), actions)
        return jax.numpy.concatenate([first.obs[None], obs]), reward, success

    return Episodes(tasks, *map(np.asarray, jax.jit(jax.vmap(episode))(tasks, actions)), actions)
