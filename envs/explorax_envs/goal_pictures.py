"""Pictures of robots that look for a goal: an animation, a strip of moments, many paths."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from explorax_envs.animation import (
    INK,
    draw_goal,
    episode,
    goal_handle,
    prepare_plane,
    save_episode,
    show_progress,
)
from explorax_envs.goals import GoalTask
from explorax_envs.path_pictures import Cast, Track, render_paths
from explorax_envs.task_files import TaskFormat

BODY = "#2b4c7e"
VIEW = np.array([[-2.4, -1.2], [2.4, 2.9]])
"""Corners of the region with all goals of Wheeled and Ant (m)."""
SKILL_VIEW = np.array([[-1.5, -1.5], [1.5, 1.5]])
"""Corners of the least that pictures of skills show (m): skills go anywhere."""


class Robot(NamedTuple):
    """How to draw one seen from above."""

    name: str
    task_format: TaskFormat
    observation_size: int
    success_radius: float  # m
    position: Callable[[Float[np.ndarray, "*batch O"]], Float[np.ndarray, "*batch 2"]]
    """observations -> x, y"""
    draw: Callable[[Axes], list[Artist]]
    """adds the artists that ``place`` moves"""
    place: Callable[[Axes, list[Artist], Float[np.ndarray, " O"]], None]
    """moves them to where an observation says"""
    view: Float[np.ndarray, "2 2"] = VIEW  # corners of the region with all goals (m)


def cast(robot: Robot, view: Float[np.ndarray, "2 2"]) -> Cast:
    """What pictures of a robot's paths show, at least ``view`` (corners, m)."""
    track = Track(robot.name, BODY, 1.2, robot.position)
    return Cast(robot.observation_size, view, (track,), robot.draw, robot.place)


class _Scene:
    """One episode on one pair of axes; `show` moves everything to a step of it."""

    def __init__(self, ax: Axes, robot: Robot, obs: Float[np.ndarray, "T O"], task: GoalTask):
        self.ax, self.robot, self.obs, self.goal = ax, robot, obs, np.asarray(task.goal)
        self.path = robot.position(obs)
        prepare_plane(ax, robot.view, [self.path, self.goal])
        draw_goal(ax, self.goal, robot.success_radius)
        (self.line,) = ax.plot([], [], color=BODY, linewidth=1.4, alpha=0.7, zorder=3)
        self.body = robot.draw(ax)
        self.caption = ax.set_title("", fontsize=9, loc="left", color=INK)

    @property
    def moving(self) -> list[Artist]:
        """Everything that `show` changes, lowest first."""
        return [self.line, *self.body, self.caption]

    def show(self, step: int) -> None:
        """The state before action ``step``, with the path that led to it."""
        self.line.set_data(*self.path[: step + 1].T)
        self.robot.place(self.ax, self.body, self.obs[step])
        at, radius = self.path[step], self.robot.success_radius
        show_progress(self.caption, step, self.robot.name, at, self.goal, radius)


def _legend(robot: Robot) -> list[Line2D]:
    body = Line2D([], [], color=BODY, linewidth=5, label=robot.name)
    return [body, goal_handle(robot.success_radius)]


def render(
    robot: Robot,
    trajectory: Any,
    path: str | Path,
    task: GoalTask | None = None,
    *,
    title: str = "",
    fps: int = 50,
) -> None:
    """Draws one episode as an animation (``.gif``) or as a strip of four moments (``.png``).

    Args:
        robot: what to draw; the suites' ``render`` have theirs.
        trajectory: observations (T, O), anything with such an ``.obs``, or a sequence of T
            environment states.
        path: file to write; its ending decides what is drawn.
        task: task of the episode; may be left out where the states carry it in their ``info``.
        title: line above the picture.
        fps: frames per second of the animation, one frame a step; 100 would be real time.

    Raises:
        ValueError: an argument is malformed, or there is no task.
    """
    obs, task = episode(trajectory, task, robot.task_format, robot.observation_size)
    make = lambda ax: _Scene(ax, robot, obs, task)  # noqa: E731
    save_episode(path, make, len(obs), _legend(robot), title, fps)


def path_renderer(robot: Robot) -> Callable[..., None]:
    """A suite's ``render_paths``."""
    return partial(render_paths, lambda task: cast(robot, robot.view), robot.success_radius)
