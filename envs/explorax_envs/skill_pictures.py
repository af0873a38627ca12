"""Pictures of skills, one panel each: the paths of many episodes, or one episode moving."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from explorax_envs.animation import (
    INK,
    observations,
    panels,
    prepare_plane,
    save_animation,
    text_scale,
)
from explorax_envs.checks import check_choice

MAX_MOVING = 12
"""Skills that one animation can show."""

_LARGEST_PANEL = 4.6
_PICTURE_WIDTH, _ANIMATION_WIDTH = 22.0, 9.0
"""Inches of 100 pixels."""
_STILL = 0.01
"""What stays within this distance (m) of its start leaves no path."""


class Track(NamedTuple):
    """Something that leaves a path."""

    label: str
    colour: str
    width: float  # of the path (points)
    position: Callable[[Float[np.ndarray, "*batch O"]], Float[np.ndarray, "*batch 2"]]
    """observations -> x, y"""
    in_view: bool = True  # whether the panels grow until they hold all of the path


class Cast(NamedTuple):
    """All that moves in a suite, seen from above."""

    observation_size: int
    view: Float[np.ndarray, "2 2"]  # corners of the region that is always shown (m)
    tracks: tuple[Track, ...]  # lowest first
    draw: Callable[[Axes], list[Artist]]
    """adds the artists that ``place`` moves"""
    place: Callable[[Axes, list[Artist], Float[np.ndarray, " O"]], None]
    """moves them to where an observation says"""


class _Scene:
    """One episode of a skill on one pair of axes; `show` moves everything to a step of it."""

    def __init__(self, ax: Axes, cast: Cast, obs: Float[np.ndarray, "T O"]):
        self.ax, self.cast, self.obs = ax, cast, obs
        self.paths = [track.position(obs) for track in cast.tracks]
        _draw_start(ax, cast, obs[0])
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
        _draw_paths(ax, cast, episodes)
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
    columns = math.ceil(math.sqrt(num_skills))
    figure, axes = panels(num_skills, title, _legend(cast), columns)
    points = [track.position(obs).reshape(-1, 2) for track in cast.tracks if track.in_view]
    corners = np.stack([np.min(points, axis=(0, 1)), np.max(points, axis=(0, 1))])
    for index, (ax, name) in enumerate(zip(axes, names, strict=True)):
        prepare_plane(ax, cast.view, [corners])
        ax.set_title(name, fontsize=10, loc="left", color=INK, pad=3)
        if index % columns:
            ax.set_ylabel("")
            ax.tick_params(labelleft=False)
        if index + columns < num_skills:
            ax.set_xlabel("")
            ax.tick_params(labelbottom=False)
    width = min(_LARGEST_PANEL, max_width / columns)
    (left, right), (bottom, top) = axes[0].get_xlim(), axes[0].get_ylim()
    gap, caption, title_and_legend = 0.1, 0.3, 0.8 * text_scale(columns)
    height = (width - gap) * (top - bottom) / (right - left) + caption
    rows = math.ceil(num_skills / columns)
    figure.set_size_inches(columns * width, rows * height + title_and_legend)
    return figure, axes


def _legend(cast: Cast) -> list[Line2D]:
    tracks = [
        Line2D([], [], color=track.colour, linewidth=track.width + 1, label=track.label)
        for track in cast.tracks
    ]
    start = {"marker": "o", "linestyle": "none", "markersize": 7, "color": "#dddddd"}
    return [*tracks, Line2D([], [], label="pale: at the start", **start)]


def _draw_start(ax: Axes, cast: Cast, obs: Float[np.ndarray, " O"]) -> None:
    """Everything where it begins, pale because a veil lies over it."""
    bodies = cast.draw(ax)
    for body in bodies:
        body.set_zorder(1)
    cast.place(ax, bodies, obs)
    colour = ax.get_facecolor()
    ax.add_patch(
        Rectangle((0, 0), 1, 1, transform=ax.transAxes, facecolor=colour, alpha=0.65, zorder=2)
    )


def _draw_paths(ax: Axes, cast: Cast, obs: Float[np.ndarray, "E T O"]) -> None:
    """The paths of one skill's episodes, and dots where they end."""
    _draw_start(ax, cast, obs[0, 0])
    for track in cast.tracks:
        for path in track.position(obs):
            if np.linalg.norm(path - path[0], axis=-1).max() < _STILL:
                continue
            ax.plot(*path.T, color=track.colour, linewidth=track.width, alpha=0.85, zorder=3)
            dot = {"markersize": 2 + track.width, "markeredgewidth": 0.5}
            ax.plot(*path[-1], "o", color=track.colour, markeredgecolor="white", zorder=4, **dot)
