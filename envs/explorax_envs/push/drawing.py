"""Draws the plane of Push on matplotlib axes, without MuJoCo and without a screen."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyBboxPatch, Patch

from explorax_envs.animation import goal_handle, move
from explorax_envs.push.env import SUCCESS_RADIUS
from explorax_envs.push.task import NUM_BLOCKS

HAND, BLOCK, OTHER = "#2b4c7e", "#e07a1f", "#c3c7cd"
OTHER_PATH = "#7d848d"  # darker: seen through a veil, or thin
BLOCK_RADIUS = 0.03
CAPSULE_RADIUS = 0.02
CAPSULES = (((0, -0.1), (0, 0.1)), ((0, -0.1), (0.1, -0.1)), ((0, 0.1), (0.1, 0.1)))
"""Both ends of the hand's palm and two fingers, in its own frame (m)."""

VIEW = np.array([[-0.2, -0.65], [1.2, 0.65]])
"""Corners of the region where everything begins (m)."""

BLOCK_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")
"""Told apart by the colour-blind (Okabe and Ito), for pictures in which every block counts."""


def hand_path(obs: Float[np.ndarray, "*batch 26"]) -> Float[np.ndarray, "*batch 2"]:
    """World x, y of the hand (m)."""
    return obs[..., 0:2]


def block_path(obs: Float[np.ndarray, "*batch 26"], block: int) -> Float[np.ndarray, "*batch 2"]:
    """World x, y of one block (m)."""
    return obs[..., 3 + 2 * block : 5 + 2 * block]


def one_block(block: int, other: str = OTHER) -> list[str]:
    """The blocks' colours where one of them counts."""
    return [BLOCK if index == block else other for index in range(NUM_BLOCKS)]


def draw_blocks(ax: Axes, colours: Sequence[str], block_shape: str = "disc") -> list[Patch]:
    """Patches of the five blocks about the origin; `place` moves them."""
    patches: list[Patch] = []
    for colour in colours:
        style = {
            "facecolor": colour,
            "edgecolor": "white",
            "linewidth": 0.8,
            "zorder": 4 if colour == OTHER else 5,
        }
        if block_shape == "disc":
            patch: Patch = Circle((0, 0), BLOCK_RADIUS, **style)
        else:
            corner, side = (-BLOCK_RADIUS, -BLOCK_RADIUS), 2 * BLOCK_RADIUS
            patch = FancyBboxPatch(corner, side, side, boxstyle="square,pad=0", **style)
        patches.append(ax.add_patch(patch))
    return patches


def draw_hand(ax: Axes, colour: str = HAND) -> list[Patch]:
    """Patches of the hand's three capsules at the origin; `place` moves them."""
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


def place(
    ax: Axes,
    blocks: Sequence[Artist],
    hand: Sequence[Artist],
    obs: Float[np.ndarray, "26"],
) -> None:
    """Moves the blocks and the hand to where an observation says."""
    for index, block in enumerate(blocks):
        move(ax, [block], *block_path(obs, index))
    move(ax, hand, *obs[:3])


def legend_handles() -> list[Line2D]:
    """What the colours mean."""
    dot = {"marker": "o", "linestyle": "none", "markersize": 7}
    return [
        Line2D([], [], color=HAND, linewidth=5, label="hand"),
        Line2D([], [], color=BLOCK, label="block to move", **dot),
        Line2D([], [], color=OTHER, label="other blocks", **dot),
        goal_handle(SUCCESS_RADIUS),
    ]
