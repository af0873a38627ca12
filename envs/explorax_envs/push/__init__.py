"""Push: planar pushing of an unknown block to an unknown goal."""

from functools import partial

from explorax_envs import task_files
from explorax_envs.push.env import Push
from explorax_envs.push.render import animate_skills, render, render_paths, render_skills
from explorax_envs.push.scene import scene_xml
from explorax_envs.push.task import TASK_FORMAT, PushTask, sample_tasks

save_tasks = partial(task_files.save_tasks, TASK_FORMAT)
load_tasks = partial(task_files.load_tasks, TASK_FORMAT)

__all__ = [
    "Push",
    "PushTask",
    "animate_skills",
    "load_tasks",
    "render",
    "render_paths",
    "render_skills",
    "sample_tasks",
    "save_tasks",
    "scene_xml",
]
