"""Push tasks: which block must go where, and how everything stands when an episode begins."""

from typing import NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from explorax_envs.task_files import TaskFormat

NUM_BLOCKS = 5
NUM_JOINTS = 3 + 2 * NUM_BLOCKS

BLOCK_ORIGIN_X = 0.2 * np.arange(1, NUM_BLOCKS + 1, dtype=np.float32)
"""World x (m) of each block where its joint position is 0; the world y is 0."""

_BAND_BOTTOM = -0.5
_BAND_HEIGHT = 0.2
_BLOCK_X = (0.35, 0.65)
_GOAL_X = (0.75, 0.95)


class PushTask(NamedTuple):
    """One task, or a batch of them with equal leading axes on every field."""

    block: Int[Array, "*batch"]  # which of the five blocks counts, 0..4
    goal: Float[Array, "*batch 2"]  # where that block must go: world x, y (m)
    qpos: Float[Array, "*batch 13"]  # joint positions at the start (m, rad), hand first

    @classmethod
    def from_array(cls, array: Float[Array, "*batch 16"]) -> Self:
        """The task of 16 numbers: block id, goal x, goal y, the 13 joint positions."""
        return cls(
            block=jnp.asarray(array[..., 0], jnp.int32),
            goal=jnp.asarray(array[..., 1:3]),
            qpos=jnp.asarray(array[..., 3:]),
        )

    def to_array(self) -> Float[Array, "*batch 16"]:
        """The task as 16 numbers, the inverse of `from_array`."""
        block = jnp.asarray(self.block, self.goal.dtype)[..., None]
        return jnp.concatenate([block, self.goal, self.qpos], axis=-1)


def _sample_layout(key: PRNGKeyArray) -> PushTask:
    """One layout of the blocks and the five tasks in it, one per block (leading axis 5)."""
    key_band, key_x, key_y, key_goal_x, key_goal_y = jax.random.split(key, 5)
    shape = (NUM_BLOCKS,)
    bottom = _BAND_BOTTOM + _BAND_HEIGHT * jax.random.permutation(key_band, NUM_BLOCKS)
    x = jax.random.uniform(key_x, shape, minval=_BLOCK_X[0], maxval=_BLOCK_X[1])
    y = bottom + _BAND_HEIGHT * jax.random.uniform(key_y, shape)
    goal_x = jax.random.uniform(key_goal_x, shape, minval=_GOAL_X[0], maxval=_GOAL_X[1])
    goal_y = bottom + _BAND_HEIGHT * jax.random.uniform(key_goal_y, shape)
    blocks = jnp.stack([x - BLOCK_ORIGIN_X, y], axis=-1).reshape(-1)
    qpos = jnp.concatenate([jnp.zeros(3), blocks])
    return PushTask(
        block=jnp.arange(NUM_BLOCKS, dtype=jnp.int32),
        goal=jnp.stack([goal_x, goal_y], axis=-1),
        qpos=jnp.broadcast_to(qpos, (NUM_BLOCKS, NUM_JOINTS)),
    )


def sample_tasks(key: PRNGKeyArray, num_layouts: int) -> PushTask:
    """Draws layouts; each gives five tasks, one per block, that follow one another.

    The y axis from -0.5 to 0.5 m falls into five bands, and a random permutation puts one block
    into each: x ~ U[0.35, 0.65], y uniform in its band. The goal lies at x ~ U[0.75, 0.95], y
    uniform in the band of the block that counts (Gupta et al. 2018, arXiv 1802.07245).

    Args:
        key: typed (`jax.random.key`) or raw key.
        num_layouts: static number of layouts.

    Returns:
        ``5 * num_layouts`` tasks stacked on a leading axis.
    """
    layouts = jax.vmap(_sample_layout)(jax.random.split(key, num_layouts))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), layouts)


def _problem(arrays: dict[str, np.ndarray]) -> str | None:
    if not np.isin(arrays["block"], np.arange(NUM_BLOCKS)).all():
        return f"array 'block' holds ids outside 0..{NUM_BLOCKS - 1}"
    return None


TASK_FORMAT = TaskFormat(
    suite="push",
    kind=PushTask,
    fields={
        "block": (jnp.int32, ()),
        "goal": (jnp.float32, (2,)),
        "qpos": (jnp.float32, (NUM_JOINTS,)),
    },
    problem=_problem,
)
