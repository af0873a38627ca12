"""The Ant environment: a four-legged robot must walk to a goal it cannot see."""

from importlib import resources
from typing import ClassVar
from xml.etree import ElementTree

import jax.numpy as jnp
from brax.envs.base import State
from jaxtyping import Array, Float
from mujoco import mjx

from explorax_envs.goal_env import SUCCESS_RADIUS, GoalEnv
from explorax_envs.goals import goal_cost, task_format

HEALTHY_HEIGHT = (0.2, 1.0)
CONTROL_COEF = 0.005
ALIVE_BONUS, GOAL_BONUS = 0.05, 4.0
MOTOR_GEAR = "30"
NUM_Q, NUM_V = 15, 14

SOLVER_ITERATIONS = {"fast": (5, 10), "exact": (10, 20)}
"""Newton iterations and line-search iterations of a physics step by kind of physics."""


def scene_xml() -> str:
    """Brax's standard ant (its feet alone touch the ground) with motors of gear 30.

    The contact solver starts every step from the unconstrained acceleration, not from the last
    one, which is not carried from step to step.
    """
    asset = resources.files("brax.envs").joinpath("assets/ant.xml")
    root = ElementTree.fromstring(asset.read_text(encoding="utf-8"))
    option = root.find("option")
    assert option is not None
    option.set("iterations", "100")
    ElementTree.SubElement(option, "flag", warmstart="disable")
    for motor in root.iterfind("actuator/motor"):
        motor.set("gear", MOTOR_GEAR)
    return ElementTree.tostring(root, encoding="unicode")


class Ant(GoalEnv):
    """Brax's ant on MuJoCo's physics (MJX): 200 steps of 0.01 s, 41 numbers, 8 actions.

    Action: motor controls in [-1, 1], hips and ankles in the scene's order, torque 30 N m each.
    Observation: joint positions (15: torso x, y, z, quaternion, 8 angles), velocities (14), the
    torso's rotation matrix (9) and the centre of mass (3). The goal, 2 m away on the side of
    positive y, is not observed. An episode ends (``done``) where the torso's height leaves 0.2 to
    1.0 m.

    Source: Gupta et al. 2018, arXiv 1802.07245. Their 125 observations and their reward also have
    clipped contact forces, which are 0 in many versions of MuJoCo; ours have none.
    """

    horizon = 200
    control_limit = 1.0
    task_format = task_format("ant")
    observation_size = NUM_Q + NUM_V + 9 + 3
    features: ClassVar = {
        "full": tuple(range(observation_size)),
        "position": (NUM_Q + NUM_V + 9, NUM_Q + NUM_V + 10),  # of the centre of mass
    }

    def __init__(self, reward: str = "dense", physics: str = "fast") -> None:
        """Loads the scene.

        Args:
            reward: ``dense`` is 4 minus the 1-norm of the centre of mass's way to the goal, minus
                0.005 times the squared actions, plus 0.05; ``sparse`` has the goal's own 1-norm
                where the goal is more than 0.8 m away.
            physics: ``fast`` (few solver iterations) or ``exact``.

        Raises:
            ValueError: an argument is none of its choices.
        """
        super().__init__(scene_xml(), SOLVER_ITERATIONS, reward, physics)

    def observe(self, qpos: Float[Array, "15"], qvel: Float[Array, "14"]) -> Float[Array, "41"]:
        """Joints, the torso's rotation matrix row by row, the centre of mass."""
        placed = mjx.kinematics(self.sys, self._template.replace(qpos=qpos))
        mass = self.sys.body_mass
        centre = mass @ placed.xipos / jnp.sum(mass)
        return jnp.concatenate([qpos, qvel, placed.xmat[1].reshape(-1), centre])

    def valid(self, qpos: Float[Array, "15"]) -> Float[Array, "15"]:
        """With a quaternion of length 1."""
        return qpos.at[3:7].set(qpos[3:7] / jnp.linalg.norm(qpos[3:7]))

    def step(self, state: State, action: Float[Array, "8"]) -> State:
        """One control step of 0.01 s; ``action`` is clipped to [-1, 1]."""
        goal = state.info["task"].goal
        pipeline_state = self.advance(state, action)
        obs = self.observe(pipeline_state.qpos, pipeline_state.qvel)
        cost, success = goal_cost(obs[-3:-1], goal, SUCCESS_RADIUS, self.reward, norm=1)
        effort = CONTROL_COEF * jnp.sum(jnp.square(jnp.clip(action, -1.0, 1.0)))
        low, high = HEALTHY_HEIGHT
        height = pipeline_state.qpos[2]
        return state.replace(
            pipeline_state=pipeline_state,
            obs=obs,
            reward=GOAL_BONUS - cost - effort + ALIVE_BONUS,
            done=jnp.where((height < low) | (height > high), 1.0, 0.0),
            metrics={**state.metrics, "success": success},
        )
