"""Pictures of Ant episodes, seen from above."""

from functools import partial

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from explorax_envs import goal_pictures, skill_pictures
from explorax_envs.animation import move
from explorax_envs.ant.env import Ant
from explorax_envs.goal_env import SUCCESS_RADIUS

HIPS = np.array([[0.2, 0.2], [-0.2, 0.2], [-0.2, -0.2], [0.2, -0.2]])
"""The legs' hip joints in the torso's frame (m), as in the scene; shin and foot point outwards."""
UPPER, LOWER = 0.2 * np.sqrt(2), 0.4 * np.sqrt(2)
TORSO_RADIUS = 0.25


def draw_ant(ax: Axes) -> list[Artist]:
    """Four legs and the torso."""
    style = {"color": goal_pictures.BODY, "linewidth": 3, "solid_capstyle": "round", "zorder": 5}
    legs: list[Artist] = [ax.plot([], [], **style)[0] for _ in HIPS]
    torso = Circle((0, 0), TORSO_RADIUS, facecolor=goal_pictures.BODY, edgecolor="white", zorder=6)
    return [*legs, ax.add_patch(torso)]


def place_ant(ax: Axes, ant: list[Artist], obs: np.ndarray) -> None:
    """Moves the torso to its x, y and lays the legs out by its yaw and the joints' angles."""
    *legs, torso = ant
    w, x, y, z = obs[3:7]
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y**2 + z**2))
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    for leg, hip, (swing, bend) in zip(legs, HIPS, obs[7:15].reshape(4, 2), strict=True):
        angle = np.arctan2(hip[1], hip[0]) + swing
        outwards = np.array([np.cos(angle), np.sin(angle)])
        knee = hip + UPPER * outwards
        foot = knee + LOWER * np.cos(bend) * outwards
        points = obs[:2] + np.array([[0.0, 0.0], hip, knee, foot]) @ turn.T
        leg.set_data(*points.T)
    move(ax, [torso], obs[0], obs[1])


ANT = goal_pictures.Robot(
    name="ant",
    task_format=Ant.task_format,
    observation_size=Ant.observation_size,
    success_radius=SUCCESS_RADIUS,
    position=lambda obs: obs[..., -3:-1],
    draw=draw_ant,
    place=place_ant,
)
render = partial(goal_pictures.render, ANT)
render_paths = goal_pictures.path_renderer(ANT)
CAST = goal_pictures.cast(ANT, goal_pictures.SKILL_VIEW)
render_skills = partial(skill_pictures.render_skills, CAST)
animate_skills = partial(skill_pictures.animate_skills, CAST)
