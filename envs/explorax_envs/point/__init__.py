"""Point: a robot in the plane looks for a goal. No physics: the smallest example."""

from explorax_envs.goals import GoalTask
from explorax_envs.point.env import Point
from explorax_envs.point.render import animate_skills, render, render_paths, render_skills

__all__ = [
    "GoalTask",
    "Point",
    "animate_skills",
    "render",
    "render_paths",
    "render_skills",
]
