"""Pictures of Wheeled episodes: an animation, a strip of moments, the paths of many episodes."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from explorax_envs.animation import (
    INK,
    draw_goal,
    episode,
    goal_handle,
    many_episodes,
    move,
    prepare_plane,
    save_episode,
    save_paths,
    show_progress,
)
from explorax_envs.goals import GoalTask
from explorax_envs.wheeled.env import SUCCESS_RADIUS, Wheeled

CAR, WHEEL = "#2b4c7e", "#30343a"
VIEW = np.array([[-2.4, -1.2], [2.4, 2.9]])
"""Corners of the region with all goals (m)."""


class _Scene:
    """One episode on one pair of axes; `show` moves everything to a step of it."""

    def __init__(self, ax: Axes, obs: Float[np.ndarray, "T 12"], task: GoalTask):
        self.ax, self.obs, self.goal = ax, obs, np.asarray(task.goal)
        prepare_plane(ax, VIEW, [obs[:, :2], self.goal])
        draw_goal(ax, self.goal, SUCCESS_RADIUS)
        (self.line,) = ax.plot([], [], color=CAR, linewidth=1.4, alpha=0.7, zorder=3)
        self.car = draw_car(ax)
        self.caption = ax.set_title("", fontsize=9, loc="left", color=INK)

    @property
    def moving(self) -> list[Artist]:
        """Everything that `show` changes, lowest first."""
        return [self.line, *self.car, self.caption]

    def show(self, step: int) -> None:
        """The state before action ``step``, with the path that led to it."""
        x, y, _, yaw = self.obs[step, :4]
        self.line.set_data(*self.obs[: step + 1, :2].T)
        move(self.ax, self.car, x, y, yaw)
        show_progress(self.caption, step, "car", self.obs[step, :2], self.goal, SUCCESS_RADIUS)


def draw_car(ax: Axes) -> list[Patch]:
    """Chassis, front and wheels at the origin, heading along x; `move` puts them into place."""
    boxes = [
        Rectangle((-0.3, -0.15), 0.6, 0.3, facecolor=CAR, alpha=0.9, zorder=5),
        Rectangle((0.2, -0.15), 0.1, 0.3, facecolor="white", alpha=0.6, zorder=6),
        *(Rectangle((-0.1, y - 0.03), 0.2, 0.06, facecolor=WHEEL, zorder=6) for y in (-0.2, 0.2)),
    ]
    return [ax.add_patch(box) for box in boxes]


def legend_handles() -> list[Line2D]:
    """What the colours mean."""
    return [Line2D([], [], color=CAR, linewidth=5, label="car"), goal_handle(SUCCESS_RADIUS)]


def render(
    trajectory: Any,
    path: str | Path,
    task: GoalTask | None = None,
    *,
    title: str = "",
    fps: int = 50,
) -> None:
    """Draws one episode as an animation (``.gif``) or as a strip of four moments (``.png``).

    Args:
        trajectory: observations (T, 12), anything with such an ``.obs``, or a sequence of T
            environment states.
        path: file to write; its ending decides what is drawn.
        task: task of the episode; may be left out where the states carry it in their ``info``.
        title: line above the picture.
        fps: frames per second of the animation, one frame a step; 100 would be real time.

    Raises:
        ValueError: an argument is malformed, or there is no task.
    """
    obs, task = episode(trajectory, task, Wheeled.task_format, Wheeled.observation_size)
    save_episode(path, lambda ax: _Scene(ax, obs, task), len(obs), legend_handles(), title, fps)


def render_paths(
    obs: Float[np.ndarray, "E T 12"], task: GoalTask, target: str | Path | Axes, *, title: str = ""
) -> None:
    """Draws the car's paths in many episodes of one task.

    Args:
        obs: observations of E episodes.
        task: the task of all of them.
        target: ``.png`` file to write, or axes to draw on.
        title: line above the picture.

    Raises:
        ValueError: ``obs`` has another shape, or the file another ending.
    """
    obs = many_episodes(obs, Wheeled.observation_size)
    goal = np.asarray(task.goal)

    def draw(ax: Axes) -> None:
        prepare_plane(ax, VIEW, [obs[..., :2], goal])
        draw_goal(ax, goal, SUCCESS_RADIUS)
        ax.plot(*obs[..., :2].transpose(2, 1, 0), color=CAR, linewidth=1, alpha=0.5, zorder=3)
        ax.plot(*obs[:, -1, :2].T, "o", color=CAR, markersize=3, markeredgecolor="white", zorder=4)

    save_paths(target, draw, legend_handles(), title)
