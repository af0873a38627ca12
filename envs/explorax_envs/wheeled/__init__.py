"""Wheeled: a differential-drive car looks for a goal that it cannot see."""

from explorax_envs.goals import GoalTask
from explorax_envs.wheeled.env import Wheeled, scene_xml
from explorax_envs.wheeled.render import animate_skills, render, render_paths, render_skills

__all__ = [
    "GoalTask",
    "Wheeled",
    "animate_skills",
    "render",
    "render_paths",
    "render_skills",
    "scene_xml",
]
