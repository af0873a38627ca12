"""What the robots on MuJoCo's physics that look for a goal share."""

import jax
import jax.numpy as jnp
from brax.envs.base import State
from jaxtyping import Array, Float, PRNGKeyArray

from explorax_envs.checks import check_choice
from explorax_envs.goals import GoalTask, half_circle
from explorax_envs.mjx_env import Carry, MjxEnv, load_system

GOAL_RADIUS = 2.0
SUCCESS_RADIUS = 0.8
QPOS_NOISE, QVEL_NOISE = 0.01, 0.1


class GoalEnv(MjxEnv):
    """Goals on the upper half of a circle of 2 m, reached within 0.8 m; resets shake the joints.

    Source: Gupta et al. 2018, arXiv 1802.07245.
    """

    def __init__(
        self, xml: str, solver_iterations: dict[str, tuple[int, int]], reward: str, physics: str
    ) -> None:
        """Loads a scene.

        Args:
            xml: MuJoCo's.
            solver_iterations: of Newton and line search, by kind of physics.
            reward: ``dense`` or ``sparse``.
            physics: one of ``solver_iterations``.

        Raises:
            ValueError: an argument is none of its choices.
        """
        check_choice("reward", reward, ("dense", "sparse"))
        check_choice("physics", physics, solver_iterations)
        super().__init__(load_system(xml, solver_iterations[physics]))
        self.reward = reward
        self.physics = physics

    def sample_tasks(self, key: PRNGKeyArray, num_tasks: int) -> GoalTask:
        """Goals, uniform over the angles 0 to pi."""
        return half_circle(key, num_tasks, GOAL_RADIUS)

    def valid(self, qpos: Float[Array, " Q"]) -> Float[Array, " Q"]:
        """Joint positions after noise was added to them, made valid."""
        return qpos

    def reset(self, rng: PRNGKeyArray, task: GoalTask | None = None) -> State:
        """The robot at the origin, shaken a little; draws a task where none is given.

        Args:
            rng: typed or raw key.
            task: one task, without leading axes.
        """
        key_task, key_qpos, key_qvel = jax.random.split(rng, 3)
        if task is None:
            task = jax.tree.map(lambda x: x[0], self.sample_tasks(key_task, 1))
        start = jnp.asarray(self.sys.init_q)
        qpos = self.valid(start + QPOS_NOISE * jax.random.normal(key_qpos, start.shape))
        qvel = QVEL_NOISE * jax.random.normal(key_qvel, (self.sys.nv,))
        return self.unpack(Carry(qpos, qvel), task)
