"""Pictures of Push: an episode moving or in a strip of moments, paths of many episodes, skills."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from explorax_envs import path_pictures, skill_pictures
from explorax_envs.animation import (
    INK,
    draw_goal,
    episode,
    prepare_plane,
    save_episode,
    show_progress,
)
from explorax_envs.checks import check_choice
from explorax_envs.path_pictures import Cast, Track
from explorax_envs.push import drawing
from explorax_envs.push.env import SUCCESS_RADIUS, Push
from explorax_envs.push.scene import BLOCK_GEOMS
from explorax_envs.push.task import NUM_BLOCKS, TASK_FORMAT, PushTask


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


def _draw_one(ax: Axes, block: int) -> list[Artist]:
    """The five blocks, of which one counts, and the hand."""
    colours = drawing.one_block(block, drawing.OTHER_PATH)
    return [*drawing.draw_blocks(ax, colours), *drawing.draw_hand(ax)]


def _draw_all(ax: Axes) -> list[Artist]:
    """The five blocks, each in its colour, and the hand."""
    return [*drawing.draw_blocks(ax, drawing.BLOCK_COLOURS), *drawing.draw_hand(ax, INK)]


def _place_all(ax: Axes, bodies: list[Artist], obs: Float[np.ndarray, "26"]) -> None:
    """Moves blocks and hand to where an observation says."""
    drawing.place(ax, bodies[:NUM_BLOCKS], bodies[NUM_BLOCKS:], obs)


def _path_cast(task: PushTask) -> Cast:
    """What pictures of a task's exploration show: the block that counts above all others."""
    block = int(task.block)
    position = [partial(drawing.block_path, block=index) for index in range(NUM_BLOCKS)]
    hand = Track(
        "hand", drawing.HAND, 1.0, drawing.hand_path, in_view=False, alpha=0.45, has_dot=False
    )
    others = (
        Track("other blocks", drawing.OTHER_PATH, 1.2, position[index], alpha=0.7)
        for index in range(NUM_BLOCKS)
        if index != block
    )
    moved = Track("block to move", drawing.BLOCK, 1.6, position[block], alpha=0.7)
    return Cast(
        observation_size=Push.observation_size,
        view=drawing.VIEW,
        tracks=(hand, *others, moved),
        draw=partial(_draw_one, block=block),
        place=_place_all,
    )


render_paths = partial(path_pictures.render_paths, _path_cast, SUCCESS_RADIUS)

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
