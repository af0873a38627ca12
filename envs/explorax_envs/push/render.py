"""Pictures of Push: an episode moving or in a strip of moments, paths of many episodes, skills."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from explorax_envs import skill_pictures
from explorax_envs.animation import (
    INK,
    draw_goal,
    episode,
    observations,
    prepare_plane,
    save_episode,
    save_paths,
    show_progress,
)
from explorax_envs.checks import check_choice
from explorax_envs.push import drawing
from explorax_envs.push.env import SUCCESS_RADIUS, Push
from explorax_envs.push.scene import BLOCK_GEOMS
from explorax_envs.push.task import NUM_BLOCKS, TASK_FORMAT, PushTask
from explorax_envs.skill_pictures import Cast, Track


class _Scene:
    """One episode on one pair of axes; `show` moves everything to a step of it."""

    def __init__(self, ax: Axes, obs: Float[np.ndarray, "T 26"], task: PushTask, shape: str):
        self.obs, self.goal, self.block = obs, np.asarray(task.goal), int(task.block)
        self.paths = drawing.hand_path(obs), drawing.block_path(obs, self.block)
        prepare_plane(ax, drawing.VIEW, [*self.paths, self.goal])
        draw_goal(ax, self.goal, SUCCESS_RADIUS)
        colours = (drawing.HAND, drawing.BLOCK)
        style = {"linewidth": 1.4, "alpha": 0.7, "zorder": 3}
        self.lines = [ax.plot([], [], color=colour, **style)[0] for colour in colours]
        self.blocks = drawing.draw_blocks(ax, drawing.one_block(self.block), shape)
        self.hand = drawing.draw_hand(ax)
        self.caption = ax.set_title("", fontsize=9, loc="left", color=INK)
        self.ax = ax

    @property
    def moving(self) -> list[Artist]:
        """Everything that `show` changes, lowest first."""
        return [*self.lines, *self.blocks, *self.hand, self.caption]

    def show(self, step: int) -> None:
        """The state before action ``step``, with the paths that led to it."""
        for line, path in zip(self.lines, self.paths, strict=True):
            line.set_data(*path[: step + 1].T)
        drawing.place(self.ax, self.blocks, self.hand, self.obs[step])
        show_progress(self.caption, step, "block", self.paths[1][step], self.goal, SUCCESS_RADIUS)


def render(
    trajectory: Any,
    path: str | Path,
    task: PushTask | None = None,
    *,
    title: str = "",
    block_shape: str = "disc",
    fps: int = 25,
) -> None:
    """Draws one episode as an animation (``.gif``) or as a strip of four moments (``.png``).

    Args:
        trajectory: observations (T, 26), anything with such an ``.obs``, or a sequence of T
            environment states.
        path: file to write; its ending decides what is drawn.
        task: task of the episode; may be left out where the states carry it in their ``info``.
        title: line above the picture.
        block_shape: ``disc`` or ``box``.
        fps: frames per second of the animation, one frame a step; 100 would be real time.

    Raises:
        ValueError: an argument is malformed, or there is no task.
    """
    check_choice("block_shape", block_shape, BLOCK_GEOMS)
    obs, task = episode(trajectory, task, TASK_FORMAT, Push.observation_size)
    legend = drawing.legend_handles()
    save_episode(path, lambda ax: _Scene(ax, obs, task, block_shape), len(obs), legend, title, fps)


def render_paths(
    obs: Float[np.ndarray, "E T 26"], task: PushTask, target: str | Path | Axes, *, title: str = ""
) -> None:
    """Draws the paths of the hand and of the block that counts in many episodes of one task.

    Args:
        obs: observations of E episodes.
        task: the task of all of them.
        target: ``.png`` file to write, or axes to draw on.
        title: line above the picture.

    Raises:
        ValueError: ``obs`` is malformed, or the file has another ending.
    """
    obs = observations(obs, "E T", Push.observation_size)
    save_paths(target, lambda ax: _draw_paths(ax, obs, task), drawing.legend_handles(), title)


def _draw_paths(ax: Axes, obs: Float[np.ndarray, "E T 26"], task: PushTask) -> None:
    """Paths over the layout at the start of the first episode."""
    block, goal = int(task.block), np.asarray(task.goal)
    hands, blocks = drawing.hand_path(obs), drawing.block_path(obs, block)
    prepare_plane(ax, drawing.VIEW, [hands, blocks, goal])
    draw_goal(ax, goal, SUCCESS_RADIUS)
    alpha = max(0.15, min(0.8, 6.0 / len(obs)))
    ax.plot(*hands.transpose(2, 1, 0), color=drawing.HAND, linewidth=1, alpha=alpha, zorder=3)
    ax.plot(*blocks.transpose(2, 1, 0), color=drawing.BLOCK, linewidth=1.4, alpha=0.8, zorder=5)
    ends = blocks[:, -1]
    ax.plot(*ends.T, "o", color=drawing.BLOCK, markersize=3, markeredgecolor="white", zorder=7)
    patches = drawing.draw_blocks(ax, drawing.one_block(block))
    hand = drawing.draw_hand(ax, drawing.PALE_HAND)
    for patch in hand:
        patch.set_zorder(2)
    drawing.place(ax, patches, hand, obs[0, 0])


def _draw_all(ax: Axes) -> list[Artist]:
    """The five blocks, each in its colour, and the hand."""
    return [*drawing.draw_blocks(ax, drawing.BLOCK_COLOURS), *drawing.draw_hand(ax, INK)]


def _place_all(ax: Axes, bodies: list[Artist], obs: Float[np.ndarray, "26"]) -> None:
    """Moves what `_draw_all` drew to where an observation says."""
    drawing.place(ax, bodies[:NUM_BLOCKS], bodies[NUM_BLOCKS:], obs)


_BLOCK_TRACKS = tuple(
    Track(f"block {index}", colour, 2.0, partial(drawing.block_path, block=index))
    for index, colour in enumerate(drawing.BLOCK_COLOURS)
)
CAST = Cast(
    observation_size=Push.observation_size,
    view=drawing.VIEW,
    tracks=(*_BLOCK_TRACKS, Track("hand", INK, 0.8, drawing.hand_path, in_view=False)),
    draw=_draw_all,
    place=_place_all,
)
render_skills = partial(skill_pictures.render_skills, CAST)
animate_skills = partial(skill_pictures.animate_skills, CAST)
