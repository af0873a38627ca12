"""Pictures of skills, one panel each: the paths of many episodes, or one episode moving."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from explorax_envs.animation import observations, plane_grid, save_animation
from explorax_envs.checks import check_choice
from explorax_envs.path_pictures import Cast, cast_handles, draw_paths, draw_start

MAX_MOVING = 12
"""Skills that one animation can show."""

_PICTURE_WIDTH, _ANIMATION_WIDTH = 22.0, 9.0
"""Inches of 100 pixels."""


class _Scene:
    """One episode of a skill on one pair of axes; `show` moves everything to a step of it."""

    def __init__(self, ax: Axes, cast: Cast, obs: Float[np.ndarray, "T O"]):
        self.ax, self.cast, self.obs = ax, cast, obs
        self.paths = [track.position(obs) for track in cast.tracks]
        draw_start(ax, cast, obs[0])
        self.lines = [
            ax.plot([], [], color=track.colour, linewidth=track.width, zorder=3)[0]
            for track in cast.tracks
        ]
        self.bodies = cast.draw(ax)

    @property
    def moving(self) -> list[Artist]:
        """Everything that `show` changes, lowest first."""
        return [*self.lines, *self.bodies]

    def show(self, step: int) -> None:
        """The state before action ``step``, with the paths that led to it."""
        for line, path in zip(self.lines, self.paths, strict=True):
            line.set_data(*path[: step + 1].T)
        self.cast.place(self.ax, self.bodies, self.obs[step])


def render_skills(
    cast: Cast,
    obs: Float[np.ndarray, "K E T O"],
    target: str | Path,
    *,
    names: Sequence[str] | None = None,
    title: str = "",
) -> None:
    """Draws the paths of everything that moves, one panel a skill, over the pale layout.

    What moved less than 1 cm leaves no path. All panels have the same limits; Push's hand may
    leave them, its blocks may not. No goal is drawn: skills have none.

    Args:
        cast: what moves; the suites' ``render_skills`` have theirs.
        obs: observations of E episodes of each of K skills, all from one layout.
        target: ``.png`` file to write.
        names: the panels' captions; the skills' numbers where left out.
        title: line above the picture.

    Raises:
        ValueError: ``obs`` is malformed, the file has another ending, or there are not K names.
    """
    check_choice("target ending", Path(target).suffix, (".png",))
    obs = observations(obs, "K E T", cast.observation_size)
    figure, axes = _grid(cast, obs, names, title, _PICTURE_WIDTH)
    for ax, episodes in zip(axes, obs, strict=True):
        draw_paths(ax, cast, episodes)
    figure.savefig(target)


def animate_skills(
    cast: Cast,
    obs: Float[np.ndarray, "K T O"],
    path: str | Path,
    *,
    names: Sequence[str] | None = None,
    title: str = "",
    fps: int = 25,
    max_frames: int = 50,
) -> None:
    """Draws one episode of each skill, all moving at once, one panel a skill.

    Args:
        cast: what moves; the suites' ``animate_skills`` have theirs.
        obs: observations of one episode of each of K skills, at most 12, all from one layout.
        path: ``.gif`` file to write.
        names: the panels' captions; the skills' numbers where left out.
        title: line above the picture.
        fps: frames per second.
        max_frames: an episode of more steps is shown at so many of them, evenly spread.

    Raises:
        ValueError: an argument is malformed.
    """
    check_choice("path ending", Path(path).suffix, (".gif",))
    obs = observations(obs, "K T", cast.observation_size)
    num_skills, num_steps, _ = obs.shape
    if num_skills > MAX_MOVING:
        raise ValueError(f"obs may hold at most {MAX_MOVING} skills; got {num_skills}")
    for field, value in (("fps", fps), ("max_frames", max_frames)):
        if value < 1:
            raise ValueError(f"{field} must be at least 1; got {value}")
    figure, axes = _grid(cast, obs, names, title, _ANIMATION_WIDTH)
    scenes = [_Scene(ax, cast, episode) for ax, episode in zip(axes, obs, strict=True)]
    steps = np.linspace(0, num_steps - 1, min(num_steps, max_frames)).round().astype(int)
    save_animation(path, figure, scenes, steps, fps)


def _grid(
    cast: Cast,
    obs: Float[np.ndarray, "K *batch O"],
    names: Sequence[str] | None,
    title: str,
    max_width: float,
) -> tuple[Figure, list[Axes]]:
    """One empty plane per skill, all with the same limits."""
    num_skills = len(obs)
    names = [str(skill) for skill in range(num_skills)] if names is None else names
    if len(names) != num_skills:
        raise ValueError(f"names must be one per skill, {num_skills}; got {len(names)}")
    points = [track.position(obs) for track in cast.tracks if track.in_view]
    columns = math.ceil(math.sqrt(num_skills))
    return plane_grid(cast.view, points, names, title, cast_handles(cast), columns, max_width)
