"""The Wheeled environment: a car must drive to a goal it cannot see."""

from importlib import resources
from typing import ClassVar

import jax.numpy as jnp
from brax.envs.base import State
from jaxtyping import Array, Float

from explorax_envs.goal_env import SUCCESS_RADIUS, GoalEnv
from explorax_envs.goals import GoalTask, goal_cost, task_format

NUM_JOINTS = 6
CONTROL_COEF = 0.05

SOLVER_ITERATIONS = {"fast": (2, 4), "exact": (5, 10)}
"""Newton iterations and line-search iterations of a physics step by kind of physics."""


def scene_xml() -> str:
    """The MuJoCo XML of the scene."""
    return resources.files(__package__).joinpath("scene.xml").read_text(encoding="utf-8")


class Wheeled(GoalEnv):
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
    features: ClassVar = {"full": tuple(range(observation_size)), "position": (0, 1)}

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
        super().__init__(scene_xml(), SOLVER_ITERATIONS, reward, physics)

    def observe(self, qpos: Float[Array, "6"], qvel: Float[Array, "6"]) -> Float[Array, "12"]:
        """Joint positions and velocities."""
        return jnp.concatenate([qpos, qvel])

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
