"""Push without jax: MuJoCo C in a Python loop over environments, observations and rewards in numpy.

``step_each`` is how the older meta-RL code bases do it: every environment's own ``step`` makes its
observation and its reward. ``step_batched`` makes them of all environments at once.
"""

from functools import cache
from typing import Any, NamedTuple

import mujoco as untyped
import numpy as np
from jaxtyping import Float, Int

from explorax_envs.push.env import REWARD_SCALE, SUCCESS_RADIUS, Push
from explorax_envs.push.scene import scene_xml
from explorax_envs.push.task import BLOCK_ORIGIN_X, NUM_BLOCKS

mujoco: Any = untyped  # it has no stubs


class HostTasks(NamedTuple):
    """Tasks of Push, one for each environment: the fields of ``PushTask`` as numpy arrays."""

    block: Int[np.ndarray, " E"]
    goal: Float[np.ndarray, "E 2"]
    qpos: Float[np.ndarray, "E 13"]


class HostEnvs(NamedTuple):
    """Environments that are stepped one by one."""

    model: Any
    data: tuple[Any, ...]  # MjData of each


@cache
def host_envs(block_shape: str, count: int) -> HostEnvs:
    """``count`` environments, made once for a process, with MuJoCo C's own solver settings."""
    model = mujoco.MjModel.from_xml_string(scene_xml(block_shape))
    return HostEnvs(model, tuple(mujoco.MjData(model) for _ in range(count)))


def sizes(block_shape: str) -> tuple[int, int]:
    """Of an observation and of an action."""
    envs = host_envs(block_shape, 1)
    return observe(envs).shape[-1], envs.model.nu


def reset(envs: HostEnvs, tasks: HostTasks) -> Float[np.ndarray, "E O"]:
    """Begins an episode of its task in each environment."""
    for data, qpos in zip(envs.data, tasks.qpos, strict=True):
        mujoco.mj_resetData(envs.model, data)
        data.qpos[:] = qpos
    return observe(envs)


def step_each(
    envs: HostEnvs, tasks: HostTasks, action: Float[np.ndarray, "E A"]
) -> tuple[Float[np.ndarray, "E O"], Float[np.ndarray, " E"], Float[np.ndarray, " E"]]:
    """One control step in each environment, which makes its own observation and reward.

    Returns:
      Observations, dense rewards, and 1.0 where the block that counts is at its goal.
    """
    rows = zip(envs.data, *tasks[:2], action, strict=True)
    results = [step_one(envs.model, *row) for row in rows]
    obs, reward, success = (np.array(x, np.float32) for x in zip(*results, strict=True))
    return obs, reward, success


def step_one(
    model: Any,
    data: Any,
    block: int,
    goal: Float[np.ndarray, "2"],
    action: Float[np.ndarray, " A"],
) -> tuple[Float[np.ndarray, " O"], float, float]:
    """``Push.step`` with MuJoCo C."""
    data.ctrl[:] = Push.control_limit * np.clip(action, -1.0, 1.0)
    mujoco.mj_step(model, data)
    qpos = data.qpos.copy()
    qpos[3::2] += BLOCK_ORIGIN_X
    distance = float(np.linalg.norm(qpos[3 + 2 * block : 5 + 2 * block] - goal))
    obs = np.concatenate([qpos, data.qvel])
    return obs, -REWARD_SCALE * distance, float(distance <= SUCCESS_RADIUS)


def step_batched(
    envs: HostEnvs, tasks: HostTasks, action: Float[np.ndarray, "E A"]
) -> tuple[Float[np.ndarray, "E O"], Float[np.ndarray, " E"], Float[np.ndarray, " E"]]:
    """As ``step_each``, but that only the physics is stepped one by one."""
    control = Push.control_limit * np.clip(action, -1.0, 1.0)
    for data, row in zip(envs.data, control, strict=True):
        data.ctrl[:] = row
        mujoco.mj_step(envs.model, data)
    obs = observe(envs)
    return obs, *rewards(obs, tasks)


def observe(envs: HostEnvs) -> Float[np.ndarray, "E O"]:
    """``Push.observe`` of each environment."""
    qpos = np.stack([data.qpos for data in envs.data])
    qvel = np.stack([data.qvel for data in envs.data])
    qpos[:, 3::2] += BLOCK_ORIGIN_X
    return np.concatenate([qpos, qvel], axis=-1, dtype=np.float32)


def rewards(
    obs: Float[np.ndarray, "E O"], tasks: HostTasks
) -> tuple[Float[np.ndarray, " E"], Float[np.ndarray, " E"]]:
    """Push's dense reward, and success, of states by their observations."""
    blocks = obs[:, 3 : 3 + 2 * NUM_BLOCKS].reshape(-1, NUM_BLOCKS, 2)
    counts = blocks[np.arange(len(obs)), tasks.block]
    distance = np.linalg.norm(counts - tasks.goal, axis=-1)
    return -REWARD_SCALE * distance, (distance <= SUCCESS_RADIUS).astype(np.float32)
