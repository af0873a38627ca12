"""Point: a robot in the plane looks for a goal. No physics: the smallest example."""

from explorax_envs.goals import GoalTask
from explorax_envs.point.env import Point

__all__ = ["GoalTask", "Point"]
