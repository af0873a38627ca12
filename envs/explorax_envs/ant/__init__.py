"""Ant: a four-legged robot looks for a goal that it cannot see."""

from functools import partial

from explorax_envs import task_files
from explorax_envs.ant.env import Ant, scene_xml
from explorax_envs.ant.render import animate_skills, render, render_paths, render_skills
from explorax_envs.goals import GoalTask

save_tasks = partial(task_files.save_tasks, Ant.task_format)
load_tasks = partial(task_files.load_tasks, Ant.task_format)

__all__ = [
    "Ant",
    "GoalTask",
    "animate_skills",
    "load_tasks",
    "render",
    "render_paths",
    "render_skills",
    "save_tasks",
    "scene_xml",
]
