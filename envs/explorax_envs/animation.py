"""From a scene that can show any step of an episode to GIF and PNG files, without a screen."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.transforms import Affine2D
from PIL import Image

from explorax_envs.checks import check_choice
from explorax_envs.task_files import TaskFormat

GOAL, INK = "#2f9e5b", "#30343a"
_STRIP_PANELS = 4
_GIF_COLOURS = 128
_VIEW_MARGIN = 0.15
_LARGEST_PANEL = 4.6  # inches of 100 pixels
_TICKS = "#8a8f96"


class Scene(Protocol):
    """One episode on one pair of axes."""

    ax: Axes

    @property
    def moving(self) -> list[Artist]:
        """Everything that `show` changes, lowest first."""
        ...

    def show(self, step: int) -> None:
        """Moves everything to the state before action ``step``."""
        ...


def save_episode(
    path: str | Path,
    make_scene: Callable[[Axes], Scene],
    num_steps: int,
    legend: Sequence[Line2D],
    title: str,
    fps: int,
) -> None:
    """Draws one episode as an animation (``.gif``) or as a strip of four moments (``.png``).

    Raises:
        ValueError: the path has another ending.
    """
    path = Path(path)
    check_choice("path ending", path.suffix, (".gif", ".png"))
    if path.suffix == ".gif":
        figure, (ax,) = panels(1, title, legend)
        save_animation(path, figure, [make_scene(ax)], range(num_steps), fps)
        return
    figure, axes = panels(_STRIP_PANELS, title, legend)
    steps = np.linspace(0, num_steps - 1, _STRIP_PANELS).round().astype(int)
    for ax, step in zip(axes, steps, strict=True):
        make_scene(ax).show(int(step))
    figure.savefig(path)


def episode(trajectory: Any, task: Any, form: TaskFormat, obs_size: int) -> tuple[np.ndarray, Any]:
    """Observations (T, O) and the task of whatever was handed to a ``render``.

    Args:
        trajectory: observations, anything with such an ``.obs``, or a sequence of states.
        task: may be None where the states carry it in their ``info``.
        form: what a task looks like.
        obs_size: O.

    Raises:
        ValueError: the trajectory is malformed, or there is no task.
    """
    if isinstance(trajectory, Sequence) and not hasattr(trajectory, "obs"):
        if not trajectory:
            raise ValueError("trajectory is empty")
        obs = np.stack([np.asarray(state.obs) for state in trajectory])
        info = trajectory[0].info
    else:
        obs = np.asarray(getattr(trajectory, "obs", trajectory))
        info = getattr(trajectory, "info", {})
    if obs.ndim != 2 or obs.shape[-1] != obs_size or len(obs) == 0:
        raise ValueError(f"trajectory must have observations (T, {obs_size}); got {obs.shape}")
    if not np.isfinite(obs).all():
        raise ValueError("trajectory holds observations that are not finite")
    task = info.get("task") if task is None else task
    if task is None:
        raise ValueError("task is needed: the trajectory does not say what has to be reached")
    _, shape = form.fields["goal"]
    if np.ndim(task.goal) > len(shape):  # states stacked over time repeat the task
        task = type(task)(*(value[0] for value in task))
    return obs, task


def observations(obs: Any, axes: str, obs_size: int) -> np.ndarray:
    """Observations as numpy, with the named leading axes, "E T" say.

    Raises:
        ValueError: they have another shape, or are not finite.
    """
    obs = np.asarray(obs)
    names = axes.split()
    if obs.ndim != len(names) + 1 or obs.shape[-1] != obs_size or 0 in obs.shape:
        raise ValueError(f"obs must have shape ({', '.join(names)}, {obs_size}); got {obs.shape}")
    if not np.isfinite(obs).all():
        raise ValueError("obs holds observations that are not finite")
    return obs


def _text_scale(columns: int) -> float:
    """How much larger title and legend are where many panels make a wide figure."""
    return max(1.0, 0.5 + columns / 8)


def panels(
    num_panels: int, title: str, legend: Sequence[Line2D], columns: int | None = None
) -> tuple[Figure, list[Axes]]:
    """A figure of panels, row by row (one row if not told), with a title and the legend."""
    columns = columns or num_panels
    rows = -(-num_panels // columns)
    figure = Figure(figsize=(_LARGEST_PANEL * columns, 4.9 * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, index + 1) for index in range(num_panels)]
    scale = _text_scale(columns)
    if title:
        figure.suptitle(title, fontsize=11 * scale, color=INK)
    figure.legend(
        handles=legend,
        loc="outside lower center",
        ncols=4 * columns,
        fontsize=8 * scale,
        frameon=False,
        labelcolor=INK,
    )
    return figure, axes


def prepare_plane(
    ax: Axes, view: Float[np.ndarray, "2 2"], points: Sequence[Float[np.ndarray, "... 2"]]
) -> None:
    """An empty plane in metres that shows ``view`` (both corners) and all of ``points``."""
    inner = np.concatenate([p.reshape(-1, 2) for p in points])
    low = np.minimum(view[0], inner.min(axis=0) - _VIEW_MARGIN)
    high = np.maximum(view[1], inner.max(axis=0) + _VIEW_MARGIN)

    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    ax.set_aspect("equal")
    ax.set_xlabel("x (m)", fontsize=7, color=_TICKS, labelpad=1)
    ax.set_ylabel("y (m)", fontsize=7, color=_TICKS, labelpad=1)
    ax.set_facecolor("#fafafa")
    ax.tick_params(labelsize=7, colors=_TICKS, length=2)
    for spine in ax.spines.values():
        spine.set_color("#d5d8dc")


def plane_grid(
    view: Float[np.ndarray, "2 2"],
    points: Sequence[Float[np.ndarray, "... 2"]],
    names: Sequence[str],
    title: str,
    legend: Sequence[Line2D],
    columns: int,
    max_width: float = np.inf,
) -> tuple[Figure, list[Axes]]:
    """An empty plane in metres per name, row by row, all with the same limits.

    Args:
        view: corners of what is always shown (m).
        points: what is shown besides (m).
        names: the panels' captions.
        title: line above the picture.
        legend: below it.
        columns: panels in a row.
        max_width: of the picture (inches).
    """
    figure, axes = panels(len(names), title, legend, columns)
    for index, (ax, name) in enumerate(zip(axes, names, strict=True)):
        prepare_plane(ax, view, points)
        ax.set_title(name, fontsize=10, loc="left", color=INK, pad=3)
        if index % columns:
            ax.set_ylabel("")
            ax.tick_params(labelleft=False)
        if index + columns < len(names):
            ax.set_xlabel("")
            ax.tick_params(labelbottom=False)
    width = min(_LARGEST_PANEL, max_width / columns)
    (left, right), (bottom, top) = axes[0].get_xlim(), axes[0].get_ylim()
    gap, title_and_legend = 0.1 + 0.6 / columns, 0.8 * _text_scale(columns)
    caption = 0.3 + 0.15 * max(name.count("\n") for name in names)
    height = (width - gap) * (top - bottom) / (right - left) + caption
    rows = -(-len(names) // columns)
    figure.set_size_inches(columns * width, rows * height + title_and_legend)
    return figure, axes


def draw_goal(ax: Axes, goal: Float[np.ndarray, "2"], radius: float) -> None:
    """The goal and the circle within which it counts as reached."""
    ax.add_patch(Circle(tuple(goal), radius, facecolor=GOAL, alpha=0.10, zorder=2))
    ax.add_patch(Circle(tuple(goal), radius, fill=False, edgecolor=GOAL, linestyle="--", zorder=2))
    ax.plot(*goal, marker="*", markersize=11, color=GOAL, markeredgecolor="white", zorder=2)


def goal_handle(radius: float) -> Line2D:
    """The goal in a legend."""
    style = {"color": GOAL, "marker": "*", "linestyle": "--", "markersize": 9}
    return Line2D([], [], label=f"goal, {radius} m", **style)


def move(ax: Axes, patches: Sequence[Artist], x: float, y: float, angle: float = 0.0) -> None:
    """Turns patches by ``angle`` (rad) about the origin, then shifts them to x, y (m)."""
    transform = Affine2D().rotate(angle).translate(x, y) + ax.transData
    for patch in patches:
        patch.set_transform(transform)


def show_progress(
    caption: Any, step: int, what: str, position: np.ndarray, goal: np.ndarray, radius: float
) -> None:
    """Writes the step, the distance to the goal and whether it is reached into a title."""
    distance = float(np.linalg.norm(position - goal))
    inside = distance <= radius
    verdict = "success" if inside else "not yet"
    caption.set_text(f"step {step:3d}   {what} to goal {distance:.2f} m   {verdict}")
    caption.set_color(GOAL if inside else INK)


def save_animation(
    path: str | Path, figure: Figure, scenes: Sequence[Scene], steps: Iterable[int], fps: int
) -> None:
    """One frame per step of all scenes of a figure, in one palette."""
    frames = list(_frames(figure, scenes, steps))
    palette = frames[-1].quantize(_GIF_COLOURS, dither=Image.Dither.NONE)
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=round(1000 / fps), loop=0
    )


def _frames(figure: Figure, scenes: Sequence[Scene], steps: Iterable[int]) -> Iterable[Image.Image]:
    """Pictures of the steps; what never moves is drawn once."""
    canvas = FigureCanvasAgg(figure)
    for scene in scenes:
        for artist in scene.moving:
            artist.set_animated(True)
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    for step in steps:
        canvas.restore_region(background)
        for scene in scenes:
            scene.show(step)
            for artist in scene.moving:
                scene.ax.draw_artist(artist)
        yield Image.fromarray(np.array(canvas.buffer_rgba())[..., :3])
