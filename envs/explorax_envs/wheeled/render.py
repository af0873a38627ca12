"""Pictures of Wheeled episodes."""

from functools import partial

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from explorax_envs import goal_pictures, skill_pictures
from explorax_envs.animation import move
from explorax_envs.goal_env import SUCCESS_RADIUS
from explorax_envs.wheeled.env import Wheeled

WHEEL = "#30343a"


def draw_car(ax: Axes) -> list[Artist]:
    """Chassis, front and wheels at the origin, heading along x."""
    body = goal_pictures.BODY
    boxes = [
        Rectangle((-0.3, -0.15), 0.6, 0.3, facecolor=body, alpha=0.9, zorder=5),
        Rectangle((0.2, -0.15), 0.1, 0.3, facecolor="white", alpha=0.6, zorder=6),
        *(Rectangle((-0.1, y - 0.03), 0.2, 0.06, facecolor=WHEEL, zorder=6) for y in (-0.2, 0.2)),
    ]
    return [ax.add_patch(box) for box in boxes]


def place_car(ax: Axes, car: list[Artist], obs: np.ndarray) -> None:
    """Moves the car to its x, y and yaw."""
    move(ax, car, obs[0], obs[1], obs[3])


CAR = goal_pictures.Robot(
    name="car",
    task_format=Wheeled.task_format,
    observation_size=Wheeled.observation_size,
    success_radius=SUCCESS_RADIUS,
    position=lambda obs: obs[..., :2],
    draw=draw_car,
    place=place_car,
)
render = partial(goal_pictures.render, CAR)
render_paths = goal_pictures.path_renderer(CAR)
CAST = goal_pictures.cast(CAR, goal_pictures.SKILL_VIEW)
render_skills = partial(skill_pictures.render_skills, CAST)
animate_skills = partial(skill_pictures.animate_skills, CAST)
