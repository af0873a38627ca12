"""Draws the plane of Push on matplotlib axes, without MuJoCo and without a screen."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyBboxPatch, Patch
from matplotlib.transforms import Affine2D

from explorax_envs.push.env import SUCCESS_RADIUS
from explorax_envs.push.task import NUM_BLOCKS

HAND, BLOCK, OTHER, GOAL, INK = "#2b4c7e", "#e07a1f", "#c3c7cd", "#2f9e5b", "#30343a"
PALE_HAND = "#b9c5d8"
BLOCK_RADIUS = 0.03
CAPSULE_RADIUS = 0.02
CAPSULES = (((0, -0.1), (0, 0.1)), ((0, -0.1), (0.1, -0.1)), ((0, 0.1), (0.1, 0.1)))
"""Both ends of the hand's palm and two fingers, in its own frame (m)."""

_VIEW = np.array([[-0.2, -0.65], [1.2, 0.65]])
_VIEW_MARGIN = 0.15
_TICKS = "#8a8f96"


def hand_path(obs: Float[np.ndarray, "*batch 26"]) -> Float[np.ndarray, "*batch 2"]:
    """World x, y of the hand (m)."""
    return obs[..., 0:2]


def block_path(obs: Float[np.ndarray, "*batch 26"], block: int) -> Float[np.ndarray, "*batch 2"]:
    """World x, y of one block (m)."""
    return obs[..., 3 + 2 * block : 5 + 2 * block]


def prepare(ax: Axes, points: Sequence[Float[np.ndarray, "... 2"]]) -> None:
    """An empty plane in metres that shows the usual region and all of ``points``."""
    inner = np.concatenate([p.reshape(-1, 2) for p in points])
    low = np.minimum(_VIEW[0], inner.min(axis=0) - _VIEW_MARGIN)
    high = np.maximum(_VIEW[1], inner.max(axis=0) + _VIEW_MARGIN)

    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    ax.set_aspect("equal")
    ax.set_xlabel("x (m)", fontsize=7, color=_TICKS, labelpad=1)
    ax.set_ylabel("y (m)", fontsize=7, color=_TICKS, labelpad=1)
    ax.set_facecolor("#fafafa")
    ax.tick_params(labelsize=7, colors=_TICKS, length=2)
    for spine in ax.spines.values():
        spine.set_color("#d5d8dc")


def draw_goal(ax: Axes, goal: Float[np.ndarray, "2"]) -> None:
    """The goal and the circle within which the block that counts is a success."""
    ax.add_patch(Circle(tuple(goal), SUCCESS_RADIUS, facecolor=GOAL, alpha=0.10, zorder=1))
    ax.add_patch(
        Circle(tuple(goal), SUCCESS_RADIUS, fill=False, edgecolor=GOAL, linestyle="--", zorder=1)
    )
    ax.plot(*goal, marker="*", markersize=11, color=GOAL, markeredgecolor="white", zorder=2)


def draw_blocks(ax: Axes, block: int, block_shape: str) -> list[Patch]:
    """Patches of the five blocks about the origin; `move` puts them into place."""
    patches: list[Patch] = []
    for index in range(NUM_BLOCKS):
        style = {
            "facecolor": BLOCK if index == block else OTHER,
            "edgecolor": "white",
            "linewidth": 0.8,
            "zorder": 5 if index == block else 4,
        }
        if block_shape == "disc":
            patch: Patch = Circle((0, 0), BLOCK_RADIUS, **style)
        else:
            corner, side = (-BLOCK_RADIUS, -BLOCK_RADIUS), 2 * BLOCK_RADIUS
            patch = FancyBboxPatch(corner, side, side, boxstyle="square,pad=0", **style)
        patches.append(ax.add_patch(patch))
    return patches


def draw_hand(ax: Axes, colour: str = HAND) -> list[Patch]:
    """Patches of the hand's three capsules at the origin; `move` puts them into place."""
    patches: list[Patch] = []
    for (x0, y0), (x1, y1) in CAPSULES:
        patch = FancyBboxPatch(
            (x0 - CAPSULE_RADIUS, y0 - CAPSULE_RADIUS),
            x1 - x0 + 2 * CAPSULE_RADIUS,
            y1 - y0 + 2 * CAPSULE_RADIUS,
            boxstyle=f"round,pad=0,rounding_size={CAPSULE_RADIUS}",
            facecolor=colour,
            edgecolor="none",
            zorder=6,
        )
        patches.append(ax.add_patch(patch))
    return patches


def move(ax: Axes, patches: Sequence[Patch], x: float, y: float, angle: float = 0.0) -> None:
    """Turns patches by ``angle`` (rad) about the origin, then shifts them to x, y (m)."""
    transform = Affine2D().rotate(angle).translate(x, y) + ax.transData
    for patch in patches:
        patch.set_transform(transform)


def legend_handles() -> list[Line2D]:
    """What the colours mean."""
    dot = {"marker": "o", "linestyle": "none", "markersize": 7}
    return [
        Line2D([], [], color=HAND, linewidth=5, label="hand"),
        Line2D([], [], color=BLOCK, label="block to move", **dot),
        Line2D([], [], color=OTHER, label="other blocks", **dot),
        Line2D([], [], color=GOAL, marker="*", linestyle="--", markersize=9, label="goal, 0.2 m"),
    ]
