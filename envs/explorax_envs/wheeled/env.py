"""The Wheeled environment: a car must drive to a goal it cannot see."""

from importlib import resources

import jax
import jax.numpy as jnp
from brax.envs.base import State
from jaxtyping import Array, Float, PRNGKeyArray

from explorax_envs.checks import check_choice
from explorax_envs.goals import GoalTask, goal_cost, half_circle, task_format
from explorax_envs.mjx_env import Carry, MjxEnv, load_system

NUM_JOINTS = 6
GOAL_RADIUS = 2.0
SUCCESS_RADIUS = 0.8
CONTROL_COEF = 0.05
QPOS_NOISE, QVEL_NOISE = 0.01, 0.1

SOLVER_ITERATIONS = {"fast": (2, 4), "exact": (5, 10)}
"""Newton iterations and line-search iterations of a physics step by kind of physics."""


def scene_xml() -> str:
    """The MuJoCo XML of the scene."""
    return resources.files(__package__).joinpath("scene.xml").read_text(encoding="utf-8")


class Wheeled(MjxEnv):
    """A car with two motors on MuJoCo's physics (MJX): 200 steps of 0.01 s, 12 numbers, 2 actions.

    Action: torques of the left and the right wheel (N m), in [-1, 1], times 2.
    Observation: chassis x, y, z, yaw, both wheel angles; then the six velocities.
    The goal, 2 m away on the side of positive y, is not observed. An episode does not end by
    itself (``done`` stays 0); ``horizon`` is for the caller.

    Source: Gupta et al. 2018, arXiv 1802.07245. Mass, motors, rewards and noise are the paper's;
    the size of chassis and wheels is not published, and is ours.
    """

    horizon = 200
    control_limit = 2.0
    task_format = task_format("wheeled")
    observation_size = 2 * NUM_JOINTS

    def __init__(self, reward: str = "dense", physics: str = "fast") -> None:
        """Loads the scene.

        Args:
            reward: ``dense`` is minus the distance to the goal minus 0.05 times the squared
                torques; ``sparse`` has the goal's distance from the origin in place of the
                distance beyond 0.8 m.
            physics: ``fast`` (two solver iterations) or ``exact`` (five).

        Raises:
            ValueError: an argument is none of its choices.
        """
        check_choice("reward", reward, ("dense", "sparse"))
        check_choice("physics", physics, SOLVER_ITERATIONS)
        super().__init__(load_system(scene_xml(), SOLVER_ITERATIONS[physics]))
        self.reward = reward
        self.physics = physics

    def sample_tasks(self, key: PRNGKeyArray, num_tasks: int) -> GoalTask:
        """Goals on the upper half of a circle of 2 m."""
        return half_circle(key, num_tasks, GOAL_RADIUS)

    def observe(self, qpos: Float[Array, "6"], qvel: Float[Array, "6"]) -> Float[Array, "12"]:
        """Joint positions and velocities."""
        return jnp.concatenate([qpos, qvel])

    def reset(self, rng: PRNGKeyArray, task: GoalTask | None = None) -> State:
        """The car at the origin, heading along x, shaken a little; draws a task if none is given.

        Args:
            rng: typed or raw key.
            task: one task, without leading axes.
        """
        key_task, key_qpos, key_qvel = jax.random.split(rng, 3)
        if task is None:
            task = jax.tree.map(lambda x: x[0], self.sample_tasks(key_task, 1))
        qpos = QPOS_NOISE * jax.random.normal(key_qpos, (NUM_JOINTS,))
        qvel = QVEL_NOISE * jax.random.normal(key_qvel, (NUM_JOINTS,))
        return self.unpack(Carry(qpos, qvel), task)

    def step(self, state: State, action: Float[Array, "2"]) -> State:
        """One control step of 0.01 s; ``action`` is clipped to [-1, 1]."""
        task: GoalTask = state.info["task"]
        pipeline_state = self.advance(state, action)
        cost, success = goal_cost(pipeline_state.qpos[:2], task.goal, SUCCESS_RADIUS, self.reward)
        torque = self.control_limit * jnp.clip(action, -1.0, 1.0)
        return state.replace(
            pipeline_state=pipeline_state,
            obs=self.observe(pipeline_state.qpos, pipeline_state.qvel),
            reward=-cost - CONTROL_COEF * jnp.sum(jnp.square(torque)),
            metrics={**state.metrics, "success": success},
        )
