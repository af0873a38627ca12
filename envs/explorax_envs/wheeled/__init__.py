"""Wheeled: a differential-drive car looks for a goal that it cannot see."""

from functools import partial

from explorax_envs import task_files
from explorax_envs.goals import GoalTask
from explorax_envs.wheeled.env import Wheeled, scene_xml
from explorax_envs.wheeled.render import animate_skills, render, render_paths, render_skills

save_tasks = partial(task_files.save_tasks, Wheeled.task_format)
load_tasks = partial(task_files.load_tasks, Wheeled.task_format)

__all__ = [
    "GoalTask",
    "Wheeled",
    "animate_skills",
    "load_tasks",
    "render",
    "render_paths",
    "render_skills",
    "save_tasks",
    "scene_xml",
]
