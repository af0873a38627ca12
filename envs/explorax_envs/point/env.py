"""The Point environment, short enough to be copied as the start of a new one."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State
from jaxtyping import Array, Float, PRNGKeyArray

from explorax_envs.checks import check_choice
from explorax_envs.goals import GoalTask, goal_cost, half_circle, task_format

GOAL_RADIUS = 1.0
SUCCESS_RADIUS = 0.2
STEP_LENGTH = 0.1


class Point(Env):
    """A point starts at the origin and moves by 0.1 times its action, clipped to [-1, 1].

    Observation: x, y. Reward: ``dense`` is minus the distance to the goal; ``sparse`` is the
    same within 0.2, and minus the goal's distance to the origin elsewhere.
    """

    horizon = 20
    observation_size = 2
    features: ClassVar[dict[str, tuple[int, ...]]] = {"full": (0, 1), "position": (0, 1)}
    """Parts of an observation by name, as indices: what a skill discriminator may look at."""
    task_format = task_format("point")
    action_size = 2
    backend = "none"

    def __init__(self, reward: str = "dense") -> None:
        check_choice("reward", reward, ("dense", "sparse"))
        self.reward = reward

    def sample_tasks(self, key: PRNGKeyArray, num_tasks: int) -> GoalTask:
        """Goals on the upper half of the unit circle."""
        return half_circle(key, num_tasks, GOAL_RADIUS)

    def reset(self, rng: PRNGKeyArray, task: GoalTask | None = None) -> State:
        """The point at the origin; draws a task where none is given."""
        if task is None:
            task = jax.tree.map(lambda x: x[0], self.sample_tasks(rng, 1))
        return self.unpack(jnp.zeros(2), task)

    def step(self, state: State, action: Float[Array, "2"]) -> State:
        """One move, then the reward of where it led."""
        obs = state.obs + STEP_LENGTH * jnp.clip(action, -1.0, 1.0)
        cost, success = goal_cost(obs, state.info["task"].goal, SUCCESS_RADIUS, self.reward)
        return state.replace(obs=obs, reward=-cost, metrics={**state.metrics, "success": success})

    def pack(self, state: State) -> Float[Array, "2"]:
        """The position is all that a step needs besides the task."""
        return state.obs

    def unpack(self, carry: Float[Array, "2"], task: GoalTask) -> State:
        """The state at a position, with reward and success 0."""
        zero = jnp.zeros(())
        return State(None, carry, zero, zero, metrics={"success": zero}, info={"task": task})
