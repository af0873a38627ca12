"""Push: planar pushing of an unknown block to an unknown goal."""

from explorax_envs.push.env import Push
from explorax_envs.push.render import animate_skills, render, render_paths, render_skills
from explorax_envs.push.scene import scene_xml
from explorax_envs.push.task import PushTask, sample_tasks

__all__ = [
    "Push",
    "PushTask",
    "animate_skills",
    "render",
    "render_paths",
    "render_skills",
    "sample_tasks",
    "scene_xml",
]
