"""Paths of everything that moves, seen from above; and pictures of how a task is explored."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from explorax_envs.animation import INK, draw_goal, goal_handle, observations, plane_grid
from explorax_envs.checks import check_choice

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
    alpha: float = 0.85  # of the path
    has_dot: bool = True  # whether a dot shows where the path ends


class Cast(NamedTuple):
    """All that moves in a suite, seen from above."""

    observation_size: int
    view: Float[np.ndarray, "2 2"]  # corners of the region that is always shown (m)
    tracks: tuple[Track, ...]  # lowest first
    draw: Callable[[Axes], list[Artist]]
    """adds the artists that ``place`` moves"""
    place: Callable[[Axes, list[Artist], Float[np.ndarray, " O"]], None]
    """moves them to where an observation says"""


def render_paths(
    cast_of: Callable[[Any], Cast],
    success_radius: float,
    obs: Float[np.ndarray, "R C E T O"],
    task: Any,
    target: str | Path,
    *,
    names: Sequence[str],
    rows: Sequence[str] = (),
    title: str = "",
) -> None:
    """Draws the paths of many episodes of one task: a row for whoever acts, a column per stage.

    What moved less than 1 cm leaves no path. All panels have the same limits; Push's hand may
    leave them, its blocks may not.

    Args:
        cast_of: task -> what moves; the suites' ``render_paths`` have theirs.
        success_radius: distance from the goal within which it is reached (m); as ``cast_of``.
        obs: observations of E episodes for each of R rows and C columns, all of one task.
        task: the task of all of them.
        target: ``.png`` file to write.
        names: the R * C panels' captions, row by row.
        rows: names of the R rows; may be left out.
        title: line above the picture.

    Raises:
        ValueError: ``obs`` is malformed, the file has another ending, or names are not as many.
    """
    check_choice("target ending", Path(target).suffix, (".png",))
    cast, goal = cast_of(task), np.asarray(task.goal)
    obs = observations(obs, "R C E T", cast.observation_size)
    num_rows, columns = obs.shape[:2]
    rows = rows or [""] * num_rows
    needed, given = (num_rows * columns, num_rows), (len(names), len(rows))
    if given != needed:
        raise ValueError(f"names and rows must be as many as {needed}; got {given}")
    points = [track.position(obs) for track in cast.tracks if track.in_view]
    points += [goal - success_radius, goal + success_radius]
    legend = [*cast_handles(cast), goal_handle(success_radius)]
    figure, axes = plane_grid(cast.view, points, names, title, legend, columns)
    for ax, episodes in zip(axes, obs.reshape(-1, *obs.shape[2:]), strict=True):
        draw_paths(ax, cast, episodes)
        draw_goal(ax, goal, success_radius)
    side = {"rotation": 90, "ha": "right", "va": "center", "ma": "center", "color": INK}
    for ax, row in zip(axes[::columns], rows, strict=True):
        ax.text(-0.13, 0.5, row, size=11, transform=ax.transAxes, **side)
    figure.savefig(target)


def cast_handles(cast: Cast) -> list[Line2D]:
    """What the colours mean, for a legend."""
    tracks = {
        track.label: Line2D([], [], color=track.colour, linewidth=track.width + 1)
        for track in cast.tracks
    }
    for label, line in tracks.items():
        line.set_label(label)
    start = {"marker": "o", "linestyle": "none", "markersize": 7, "color": "#dddddd"}
    return [*tracks.values(), Line2D([], [], label="pale: at the start", **start)]


def draw_start(ax: Axes, cast: Cast, obs: Float[np.ndarray, " O"]) -> None:
    """Everything where it begins, pale because a veil lies over it."""
    bodies = cast.draw(ax)
    for body in bodies:
        body.set_zorder(1)
    cast.place(ax, bodies, obs)
    colour = ax.get_facecolor()
    ax.add_patch(
        Rectangle((0, 0), 1, 1, transform=ax.transAxes, facecolor=colour, alpha=0.65, zorder=2)
    )


def draw_paths(ax: Axes, cast: Cast, obs: Float[np.ndarray, "E T O"]) -> None:
    """The paths of some episodes over the pale layout, and dots where they end."""
    draw_start(ax, cast, obs[0, 0])
    for track in cast.tracks:
        for path in track.position(obs):
            if np.linalg.norm(path - path[0], axis=-1).max() < _STILL:
                continue
            line = {"linewidth": track.width, "alpha": track.alpha, "zorder": 3}
            ax.plot(*path.T, color=track.colour, **line)
            if track.has_dot:
                dot = {"markersize": 2 + track.width, "markeredgewidth": 0.5, "zorder": 4}
                ax.plot(*path[-1], "o", color=track.colour, markeredgecolor="white", **dot)
