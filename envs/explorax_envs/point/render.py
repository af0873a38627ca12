"""Pictures of a point's skills."""

from functools import partial

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from explorax_envs import skill_pictures
from explorax_envs.animation import move
from explorax_envs.goal_pictures import BODY
from explorax_envs.point.env import Point

VIEW = np.array([[-1.0, -1.0], [1.0, 1.0]])


def draw_point(ax: Axes) -> list[Artist]:
    """A disc at the origin."""
    return [ax.add_patch(Circle((0, 0), 0.06, facecolor=BODY, edgecolor="white", zorder=5))]


def place_point(ax: Axes, point: list[Artist], obs: np.ndarray) -> None:
    """Moves it to its x and y."""
    move(ax, point, *obs)


CAST = skill_pictures.Cast(
    observation_size=Point.observation_size,
    view=VIEW,
    tracks=(skill_pictures.Track("point", BODY, 1.2, position=lambda obs: obs),),
    draw=draw_point,
    place=place_point,
)
render_skills = partial(skill_pictures.render_skills, CAST)
animate_skills = partial(skill_pictures.animate_skills, CAST)
