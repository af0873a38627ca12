"""The latent distributions of all training tasks as ellipses on a plane."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse

from explorax.types import Gaussian, Task
from pictures import File
from runtime import import_envs


class Plane(NamedTuple):
    """Gaussians as they are seen on a plane."""

    mean: Float[np.ndarray, "N 2"]
    covariance: Float[np.ndarray, "N 2 2"]
    names: tuple[str, str]  # of the axes


class Colours(NamedTuple):
    """What tells tasks apart."""

    of_tasks: Sequence  # N colours
    legend: dict[str, str]  # colours by what they mean; empty where ``scale`` says it
    scale: ScalarMappable | None  # of a number
    meaning: str


def latent_space(path: File, latent: Gaussian, tasks: Task) -> None:
    """One ellipse per task, a standard deviation from mu, and the prior's.

    Args:
      path: PNG to write.
      latent: mu and log sigma of N tasks, leaves (N, L); L is not 0.
      tasks: leading axis N.
    """
    plane, colours = on_plane(latent), colours_of(tasks)
    figure = Figure(figsize=(6, 5.2), dpi=120, layout="constrained")
    ax = figure.subplots()
    for mean, covariance, colour in zip(
        plane.mean, plane.covariance, colours.of_tasks, strict=True
    ):
        ax.add_patch(ellipse(mean, covariance, edgecolor=colour, linewidth=0.6, alpha=0.5))
        ax.plot(*mean, ".", color=colour, markersize=5)
    prior = ellipse(np.zeros(2), np.eye(2), edgecolor="#30343a", linestyle="--", zorder=3)
    ax.add_patch(prior)
    ax.set(xlabel=plane.names[0], ylabel=plane.names[1], aspect="equal")
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    ax.autoscale_view()
    explain(figure, ax, colours)
    figure.savefig(path)


def explain(figure: Figure, ax: Axes, colours: Colours) -> None:
    """Legend, or a bar of the colours."""
    handles = [Line2D([], [], color="#30343a", linestyle="--", label="prior N(0, I)")]
    handles += [Line2D([], [], color=c, label=name) for name, c in colours.legend.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    if colours.scale is not None:
        figure.colorbar(colours.scale, ax=ax, label=colours.meaning)


def ellipse(mean: np.ndarray, covariance: np.ndarray, **style) -> Ellipse:
    """The points that are one standard deviation away from the mean."""
    variances, directions = np.linalg.eigh(covariance)
    height, width = 2 * np.sqrt(np.maximum(variances, 0.0))
    angle = np.degrees(np.arctan2(directions[1, 1], directions[0, 1]))
    return Ellipse(tuple(mean), width, height, angle=angle, fill=False, **style)


def on_plane(latent: Gaussian) -> Plane:
    """Both dimensions, if there are two; of more the two along which mu varies most."""
    mean, variance = np.asarray(latent.mean), np.exp(2 * np.asarray(latent.log_std))
    size = mean.shape[1]
    names = ("z, dimension 1", "z, dimension 2" if size > 1 else "")
    basis = np.eye(max(size, 2))[:size, :2]
    if size > 2:
        spread, directions = np.linalg.eigh(np.cov(mean.T, ddof=0))
        basis, share = directions[:, :-3:-1], spread[::-1] / max(spread.sum(), 1e-12)
        names = (main_axis(1, share[0]), main_axis(2, share[1]))
    covariance = np.einsum("li,nl,lj->nij", basis, variance, basis)
    return Plane(mean @ basis, covariance, names)


def main_axis(number: int, share: float) -> str:
    """Name of an axis, and how much of the variance of mu it shows."""
    return f"z, principal axis {number} of μ ({share:.0%} of its variance)"


def colours_of(tasks: Task) -> Colours:
    """By the block that counts, or by the direction of the goal."""
    if hasattr(tasks, "block"):
        import_envs()  # before its modules are
        from explorax_envs.push.drawing import BLOCK_COLOURS

        legend = {f"block {block}": colour for block, colour in enumerate(BLOCK_COLOURS)}
        of_tasks = [BLOCK_COLOURS[block] for block in np.asarray(tasks.block)]
        return Colours(of_tasks, legend, None, "the block that counts")
    x, y = np.moveaxis(np.asarray(tasks.goal), -1, 0)
    angle = np.degrees(np.arctan2(y, x))
    scale = ScalarMappable(Normalize(angle.min(), angle.max()), mpl.colormaps["viridis"])
    return Colours(list(scale.to_rgba(angle)), {}, scale, "direction of the goal (°)")
