"""Push: planar pushing of an unknown block to an unknown goal."""

from explorax_envs.push.env import Push
from explorax_envs.push.render import render, render_paths
from explorax_envs.push.task import PushTask, load_tasks, sample_tasks, save_tasks

__all__ = [
    "Push",
    "PushTask",
    "load_tasks",
    "render",
    "render_paths",
    "sample_tasks",
    "save_tasks",
]
