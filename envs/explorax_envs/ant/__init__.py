"""Ant: a four-legged robot looks for a goal that it cannot see."""

from explorax_envs.ant.env import Ant, scene_xml
from explorax_envs.ant.render import animate_skills, render, render_paths, render_skills
from explorax_envs.goals import GoalTask

__all__ = [
    "Ant",
    "GoalTask",
    "animate_skills",
    "render",
    "render_paths",
    "render_skills",
    "scene_xml",
]
