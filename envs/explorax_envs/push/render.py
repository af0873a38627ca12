"""Pictures of Push episodes: an animation, a strip of moments, the paths of many episodes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from explorax_envs.checks import check_choice
from explorax_envs.push import drawing
from explorax_envs.push.env import SUCCESS_RADIUS
from explorax_envs.push.scene import BLOCK_GEOMS
from explorax_envs.push.task import NUM_BLOCKS, PushTask

_OBS_SIZE = 26
_STRIP_PANELS = 4
_GIF_COLOURS = 128


class _Scene:
    """One episode on one pair of axes; `show` moves everything to a step of it."""

    def __init__(self, ax: Axes, obs: Float[np.ndarray, "T 26"], task: PushTask, shape: str):
        self.obs, self.goal, self.block = obs, np.asarray(task.goal), int(task.block)
        self.paths = drawing.hand_path(obs), drawing.block_path(obs, self.block)
        drawing.prepare(ax, [*self.paths, self.goal])
        drawing.draw_goal(ax, self.goal)
        colours = (drawing.HAND, drawing.BLOCK)
        style = {"linewidth": 1.4, "alpha": 0.7, "zorder": 3}
        self.lines = [ax.plot([], [], color=colour, **style)[0] for colour in colours]
        self.blocks = drawing.draw_blocks(ax, self.block, shape)
        self.hand = drawing.draw_hand(ax)
        self.caption = ax.set_title("", fontsize=9, loc="left", color=drawing.INK)
        self.ax = ax

    @property
    def moving(self) -> list[Artist]:
        """Everything that `show` changes, lowest first."""
        return [*self.lines, *self.blocks, *self.hand, self.caption]

    def show(self, step: int) -> None:
        """The state before action ``step``, with the paths that led to it."""
        for line, path in zip(self.lines, self.paths, strict=True):
            line.set_data(*path[: step + 1].T)
        obs = self.obs[step]
        for index in range(NUM_BLOCKS):
            drawing.move(self.ax, [self.blocks[index]], *drawing.block_path(obs, index))
        drawing.move(self.ax, self.hand, *obs[:3])
        distance = float(np.linalg.norm(self.paths[1][step] - self.goal))
        inside = distance <= SUCCESS_RADIUS
        verdict = "success" if inside else "not yet"
        self.caption.set_text(f"step {step:3d}   block to goal {distance:.2f} m   {verdict}")
        self.caption.set_color(drawing.GOAL if inside else drawing.INK)


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
    path = Path(path)
    check_choice("path ending", path.suffix, (".gif", ".png"))
    check_choice("block_shape", block_shape, BLOCK_GEOMS)
    obs, task = _episode(trajectory, task)
    if path.suffix == ".gif":
        _save_animation(path, obs, task, title, block_shape, fps)
    else:
        _save_strip(path, obs, task, title, block_shape)


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
        ValueError: ``obs`` has another shape, or the file another ending.
    """
    obs = np.asarray(obs)
    if obs.ndim != 3 or obs.shape[-1] != _OBS_SIZE or 0 in obs.shape:
        raise ValueError(f"obs must have shape (E, T, {_OBS_SIZE}); got {obs.shape}")
    if isinstance(target, Axes):
        _draw_paths(target, obs, task)
        target.set_title(title, fontsize=9, loc="left", color=drawing.INK)
        return
    check_choice("target ending", Path(target).suffix, (".png",))
    figure, (ax,) = _figure(1, title)
    _draw_paths(ax, obs, task)
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    width = figure.get_size_inches()[0]
    title_and_legend = 0.8
    figure.set_size_inches(width, width * (top - bottom) / (right - left) + title_and_legend)
    figure.savefig(target)


def _draw_paths(ax: Axes, obs: Float[np.ndarray, "E T 26"], task: PushTask) -> None:
    """Paths over the layout at the start of the first episode."""
    block, goal = int(task.block), np.asarray(task.goal)
    hands, blocks = drawing.hand_path(obs), drawing.block_path(obs, block)
    drawing.prepare(ax, [hands, blocks, goal])
    drawing.draw_goal(ax, goal)
    alpha = max(0.15, min(0.8, 6.0 / len(obs)))
    ax.plot(*hands.transpose(2, 1, 0), color=drawing.HAND, linewidth=1, alpha=alpha, zorder=3)
    ax.plot(*blocks.transpose(2, 1, 0), color=drawing.BLOCK, linewidth=1.4, alpha=0.8, zorder=5)
    ends = blocks[:, -1]
    ax.plot(*ends.T, "o", color=drawing.BLOCK, markersize=3, markeredgecolor="white", zorder=7)
    patches = drawing.draw_blocks(ax, block, "disc")
    for index in range(NUM_BLOCKS):
        drawing.move(ax, [patches[index]], *drawing.block_path(obs[0, 0], index))
    hand = drawing.draw_hand(ax, drawing.PALE_HAND)
    for patch in hand:
        patch.set_zorder(2)
    drawing.move(ax, hand, *obs[0, 0, :3])


def _episode(trajectory: Any, task: PushTask | None) -> tuple[np.ndarray, PushTask]:
    """Observations (T, 26) and the task of whatever was handed to `render`."""
    if isinstance(trajectory, Sequence) and not hasattr(trajectory, "obs"):
        if not trajectory:
            raise ValueError("trajectory is empty")
        obs = np.stack([np.asarray(state.obs) for state in trajectory])
        info = trajectory[0].info
    else:
        obs = np.asarray(getattr(trajectory, "obs", trajectory))
        info = getattr(trajectory, "info", {})
    if obs.ndim != 2 or obs.shape[-1] != _OBS_SIZE or len(obs) == 0:
        raise ValueError(f"trajectory must have observations (T, {_OBS_SIZE}); got {obs.shape}")
    if not np.isfinite(obs).all():
        raise ValueError("trajectory holds observations that are not finite")
    task = info.get("task") if task is None else task
    if task is None:
        raise ValueError("task is needed: the trajectory does not say which block and goal count")
    if np.ndim(task.block) == 1:  # states stacked over time repeat the task
        task = PushTask(*(value[0] for value in task))
    return obs, task


def _figure(num_panels: int, title: str) -> tuple[Figure, list[Axes]]:
    """A figure of panels in a row with a title and the legend."""
    figure = Figure(figsize=(4.6 * num_panels, 4.9), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(1, num_panels, squeeze=False)[0])
    if title:
        figure.suptitle(title, fontsize=11, color=drawing.INK)
    figure.legend(
        handles=drawing.legend_handles(),
        loc="outside lower center",
        ncols=4,
        fontsize=8,
        frameon=False,
        labelcolor=drawing.INK,
    )
    return figure, axes


def _save_strip(path: Path, obs: np.ndarray, task: PushTask, title: str, shape: str) -> None:
    """The start, two moments between, and the end, side by side."""
    figure, axes = _figure(_STRIP_PANELS, title)
    steps = np.linspace(0, len(obs) - 1, _STRIP_PANELS).round().astype(int)
    for ax, step in zip(axes, steps, strict=True):
        _Scene(ax, obs, task, shape).show(int(step))
    figure.savefig(path)


def _save_animation(
    path: Path, obs: np.ndarray, task: PushTask, title: str, shape: str, fps: int
) -> None:
    """One frame per observation, in one palette."""
    figure, (ax,) = _figure(1, title)
    frames = list(_frames(figure, _Scene(ax, obs, task, shape), len(obs)))
    palette = frames[-1].quantize(_GIF_COLOURS, dither=Image.Dither.NONE)
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=round(1000 / fps), loop=0
    )


def _frames(figure: Figure, scene: _Scene, num_frames: int) -> Iterable[Image.Image]:
    """Pictures of all steps; what never moves is drawn once."""
    canvas = FigureCanvasAgg(figure)
    moving = scene.moving
    for artist in moving:
        artist.set_animated(True)
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    for step in range(num_frames):
        scene.show(step)
        canvas.restore_region(background)
        for artist in moving:
            scene.ax.draw_artist(artist)
        yield Image.fromarray(np.array(canvas.buffer_rgba())[..., :3])
