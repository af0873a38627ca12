"""The Push environment: a planar hand must push one of five blocks to a goal it cannot see."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from brax.envs.base import State
from jaxtyping import Array, Float, PRNGKeyArray

from explorax_envs.checks import check_choice
from explorax_envs.goals import goal_cost
from explorax_envs.mjx_env import Carry, MjxEnv
from explorax_envs.push import scene
from explorax_envs.push.task import (
    BLOCK_ORIGIN_X,
    NUM_BLOCKS,
    NUM_JOINTS,
    TASK_FORMAT,
    PushTask,
    sample_tasks,
)

REWARD_SCALE = 5.0
SUCCESS_RADIUS = 0.2


class Push(MjxEnv):
    """Planar pushing with MuJoCo's physics (MJX): 100 steps of 0.01 s, 26 numbers, 3 actions.

    Action: force along x and y (N) and torque (N m) on the hand, in [-1, 1], times 2.
    Observation: hand x, y, angle; x, y of blocks 0..4 in the world; the 13 joint velocities.
    Neither the goal nor the block that counts is observed: a policy has to find them out.
    An episode does not end by itself (``done`` stays 0); ``horizon`` is for the caller.

    Source: Gupta et al. 2018, "Meta-Reinforcement Learning of Structured Exploration
    Strategies", arXiv 1802.07245.
    """

    horizon = 100
    control_limit = 2.0
    task_format = TASK_FORMAT
    observation_size = 3 + 2 * NUM_BLOCKS + NUM_JOINTS
    features: ClassVar = {
        "full": tuple(range(observation_size)),
        "blocks": tuple(range(3, 3 + 2 * NUM_BLOCKS)),
        "blocks_hand": (0, 1, *range(3, 3 + 2 * NUM_BLOCKS)),
    }

    def __init__(
        self, block_shape: str = "disc", reward: str = "dense", physics: str = "fast"
    ) -> None:
        """Loads the scene.

        Args:
            block_shape: ``box`` as in the paper, or ``disc``, several times as fast.
            reward: ``dense`` is -5 times the distance of the block that counts to the goal;
                ``sparse`` is the same within 0.2 m, and -5 times the goal's distance to the
                origin elsewhere.
            physics: ``fast`` (one solver iteration) or ``exact`` (three).

        Raises:
            ValueError: an argument is none of its choices.
        """
        check_choice("block_shape", block_shape, scene.BLOCK_GEOMS)
        check_choice("reward", reward, ("dense", "sparse"))
        check_choice("physics", physics, scene.SOLVER_ITERATIONS)
        super().__init__(scene.load_block_system(block_shape, physics))
        self.block_shape = block_shape
        self.reward = reward
        self.physics = physics

    def sample_tasks(self, key: PRNGKeyArray, num_tasks: int) -> PushTask:
        """The first ``num_tasks`` tasks of as few layouts as hold them (five each)."""
        tasks = sample_tasks(key, -(-num_tasks // NUM_BLOCKS))
        return jax.tree.map(lambda x: x[:num_tasks], tasks)

    def observe(self, qpos: Float[Array, "13"], qvel: Float[Array, "13"]) -> Float[Array, "26"]:
        """Hand x, y, angle; the blocks' x, y in the world; all velocities."""
        return jnp.concatenate([qpos[:3], _block_xy(qpos).reshape(-1), qvel])

    def reset(self, rng: PRNGKeyArray, task: PushTask | None = None) -> State:
        """The start of an episode: the layout of ``task``, everything at rest.

        As after ``mj_resetData``, what follows from the joints (frames, contacts) is filled in
        by the first step.

        Args:
            rng: typed or raw key; draws the task where none is given, and nothing else.
            task: one task, without leading axes.
        """
        if task is None:
            key_layout, key_block = jax.random.split(rng)
            block = jax.random.randint(key_block, (), 0, NUM_BLOCKS)
            task = jax.tree.map(lambda x: x[block], sample_tasks(key_layout, 1))
        rest = jnp.zeros(NUM_JOINTS)
        return self.unpack(Carry(task.qpos, qvel=rest), task)

    def step(self, state: State, action: Float[Array, "3"]) -> State:
        """One control step of 0.01 s; ``action`` is clipped to [-1, 1]."""
        task: PushTask = state.info["task"]
        pipeline_state = self.advance(state, action)
        block = _block_xy(pipeline_state.qpos)[task.block]
        cost, success = goal_cost(block, task.goal, SUCCESS_RADIUS, self.reward)
        return state.replace(
            pipeline_state=pipeline_state,
            obs=self.observe(pipeline_state.qpos, pipeline_state.qvel),
            reward=-REWARD_SCALE * cost,
            metrics={**state.metrics, "success": success},
        )


def _block_xy(qpos: Float[Array, "13"]) -> Float[Array, "5 2"]:
    """World x, y of the blocks (m)."""
    joints = qpos[3:].reshape(NUM_BLOCKS, 2)
    return joints.at[:, 0].add(BLOCK_ORIGIN_X)
