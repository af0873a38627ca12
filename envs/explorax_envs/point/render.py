"""Pictures of Point: an episode moving or in a strip of moments, paths of many, skills."""

from functools import partial

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from explorax_envs import goal_pictures, skill_pictures
from explorax_envs.animation import move
from explorax_envs.goal_pictures import BODY
from explorax_envs.point.env import SUCCESS_RADIUS, Point

VIEW = np.array([[-1.2, -0.4], [1.2, 1.2]])
"""Corners of the region with all goals (m)."""
SKILL_VIEW = np.array([[-1.0, -1.0], [1.0, 1.0]])
"""Corners of the least that pictures of skills show (m)."""


def draw_point(ax: Axes) -> list[Artist]:
    """A disc at the origin."""
    return [ax.add_patch(Circle((0, 0), 0.06, facecolor=BODY, edgecolor="white", zorder=5))]


def place_point(ax: Axes, point: list[Artist], obs: np.ndarray) -> None:
    """Moves it to its x and y."""
    move(ax, point, *obs)


POINT = goal_pictures.Robot(
    name="point",
    task_format=Point.task_format,
    observation_size=Point.observation_size,
    success_radius=SUCCESS_RADIUS,
    position=lambda obs: obs,
    draw=draw_point,
    place=place_point,
    view=VIEW,
)
CAST = goal_pictures.cast(POINT, SKILL_VIEW)
render = partial(goal_pictures.render, POINT)
render_paths = goal_pictures.path_renderer(POINT)
render_skills = partial(skill_pictures.render_skills, CAST)
animate_skills = partial(skill_pictures.animate_skills, CAST)
