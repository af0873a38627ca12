"""Tasks that are a point on the plane: reach it."""

from typing import Literal, NamedTuple, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from explorax_envs.task_files import TaskFormat


class GoalTask(NamedTuple):
    """One task, or a batch of them."""

    goal: Float[Array, "*batch 2"]  # x, y of the point to reach (m)

    @classmethod
    def from_array(cls, array: Float[Array, "*batch 2"]) -> Self:
        """The task of two numbers: goal x, goal y."""
        return cls(jnp.asarray(array))

    def to_array(self) -> Float[Array, "*batch 2"]:
        """The task as two numbers, the inverse of `from_array`."""
        return self.goal


def task_format(suite: str) -> TaskFormat:
    """Files of such tasks."""
    return TaskFormat(suite, GoalTask, {"goal": (jnp.float32, (2,))})


def half_circle(key: PRNGKeyArray, num_tasks: int, radius: float) -> GoalTask:
    """Goals at a radius (m), uniform over the angles 0 to pi."""
    angle = jax.random.uniform(key, (num_tasks,), maxval=jnp.pi)
    return GoalTask(radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1))


def goal_cost(
    position: Float[Array, "2"],
    goal: Float[Array, "2"],
    radius: float,
    reward: str,
    norm: Literal[1, 2] = 2,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The distance, for ``sparse`` the goal's own distance beyond ``radius``; and success.

    NaN where the position is not finite: a simulation that broke has not done nothing.

    Args:
      position: of what has to be at the goal (m).
      goal: where (m).
      radius: of success (m), in the Euclidean norm.
      reward: dense or sparse.
      norm: order of the norm in which distances cost.
    """
    distance = jnp.linalg.norm(position - goal)
    inside = distance <= radius
    near = jnp.linalg.norm(position - goal, norm)
    far = jnp.linalg.norm(goal, norm) if reward == "sparse" else near
    cost = jnp.where(inside, near, far)
    return jnp.where(jnp.isfinite(distance), cost, jnp.nan), inside.astype(jnp.float32)
