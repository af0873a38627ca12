"""A benchmark as a picture: sizes and their knees, seeds, devices, phases."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from benchmarks.derived import MEANINGS, value
from benchmarks.history import Document, label, machine_name

INK, LINES = "#30343a", {"environments": "#2b4c7e", "tasks": "#e07a1f", "episodes": "#2f9e5b"}
PHASES = ("#2b4c7e", "#7d9cc4", "#c3d3e8", "#e07a1f", "#9a3c1e")
TITLES = {
    "environments": "rollouts, more episodes",
    "tasks": "update, more tasks",
    "episodes": "update, more episodes",
}


def draw(path: Path, document: Document) -> bool:
    """Writes a PNG of what the document has; False where there is nothing to draw."""
    drawn = [name for name in PANELS if document["sections"].get(name)]
    if not drawn:
        return False
    figure = Figure(figsize=(5.0 * len(drawn), 4.2), layout="constrained")
    figure.suptitle(
        f"{document['flags']['preset']}: {machine_name(document)} ({label(document)})", fontsize=10
    )
    axes = np.atleast_1d(figure.subplots(1, len(drawn)))
    for name, ax in zip(drawn, axes, strict=True):
        PANELS[name](ax, document["sections"][name], document)
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    return True


def sizes_and_speeds(rows: Mapping[str, str], document: Document) -> tuple[list[int], list[float]]:
    """What was measured of rows by size."""
    speeds = {int(n): value(document["rows"][name], "steps_per_s") for n, name in rows.items()}
    kept = {size: speed for size, speed in speeds.items() if speed is not None}
    return list(kept), list(kept.values())


def log_axis(ax: Axes, sizes: list[int], name: str) -> None:
    """Doublings at equal distances, each with its number."""
    ax.set_xscale("log", base=2)
    ax.set_xticks(sorted(set(sizes)))
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.xaxis.set_minor_locator(NullLocator())
    ax.tick_params(axis="x", labelrotation=45 if len(set(sizes)) > 6 else 0)
    ax.set_xlabel(name)
    ax.set_ylim(0, 1.05 * ax.get_ylim()[1])


def sweep(ax: Axes, section: dict[str, Any], document: Document) -> None:
    """Steps/s over environments, with the knee of each way to have more of them."""
    ticks: list[int] = []
    for axis, found in section.items():
        sizes, speeds = sizes_and_speeds(found["rows"], document)
        counts = [found["environments_per_size"] * size for size in sizes]
        ticks += counts
        ax.plot(counts, speeds, "o-", color=LINES[axis], markersize=4, label=TITLES[axis])
        mark_knee(
            ax, found["knee"], dict(zip(sizes, zip(counts, speeds, strict=True), strict=True))
        )
    log_axis(ax, thinned(ticks), "environments (a ring marks the knee)")
    ax.set_ylabel("environment steps/s")
    ax.legend(frameon=False, fontsize=8)


def mark_knee(ax: Axes, knee: int | None, points: Mapping[int, tuple[float, float]]) -> None:
    """A ring about the point of that size."""
    if knee is not None:
        ax.plot(*points[knee], "o", color=INK, markersize=12, fillstyle="none")


def thinned(ticks: list[int]) -> list[int]:
    """Ticks that are far enough apart to be read."""
    kept: list[int] = []
    for tick in sorted(set(ticks)):
        if not kept or tick >= 1.9 * kept[-1]:
            kept.append(tick)
    return kept


def seeds(ax: Axes, section: dict[str, Any], document: Document) -> None:
    """Steps/s of all seeds together."""
    sizes, speeds = sizes_and_speeds(section["rows"], document)
    ax.plot(sizes, speeds, "o-", color=INK, markersize=4)
    points = {size: (float(size), speed) for size, speed in zip(sizes, speeds, strict=True)}
    mark_knee(ax, section["knee"], points)
    log_axis(ax, sizes, "seeds in one program")
    ax.set_ylabel("environment steps/s, all seeds together")


def devices(ax: Axes, section: dict[str, Any], document: Document) -> None:
    """Steps/s on several devices, beside those that twice the devices would make."""
    sizes, speeds = sizes_and_speeds(section["rows"], document)
    ax.plot(sizes, speeds, "o-", color=INK, label="measured")
    if sizes:
        ideal = [speeds[0] * size / sizes[0] for size in sizes]
        ax.plot(sizes, ideal, "--", color="#9aa3ad", label="in proportion")
    log_axis(ax, sizes, f"devices, {section['tasks']} tasks")
    if speeds:
        ax.set_ylim(0, 1.6 * max(speeds))
    ax.set_ylabel("environment steps/s")
    ax.legend(frameon=False, fontsize=8)


def phases(ax: Axes, section: dict[str, Any], document: Document) -> None:
    """Shares of an update's time."""
    measured = {name: shares for name, shares in section["shares"].items() if shares}
    until = np.zeros(len(measured))
    for meaning, colour in zip(MEANINGS.values(), PHASES, strict=True):
        shares = np.array([x[meaning] for x in measured.values()])
        ax.bar(list(measured), shares, bottom=until, color=colour, width=0.6, label=meaning)
        until += shares
    ax.set_ylim(0, 1.0)
    ax.set_xlim(-0.6, len(measured) + 1.6)
    ax.set_ylabel("share of an update's time")
    ax.legend(frameon=False, fontsize=8, loc="center right", reverse=True)


PANELS: dict[str, Callable[[Axes, dict[str, Any], Document], None]] = {
    "sweep": sweep,
    "seeds": seeds,
    "devices": devices,
    "phases": phases,
}
