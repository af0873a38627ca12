"""Curves as PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BEFORE, AFTER, IDLE = "#9aa3ad", "#2b4c7e", "#30343a"
PAPER = {"MAESN": "#e07a1f", "LatentSpace": "#2f9e5b", "MAML": "#a05195"}


def training_curve(path: Path, records: Sequence[Mapping[str, Any]], title: str = "") -> None:
    """Return and success before and after adaptation over environment steps."""
    figure, (left, right) = _figure(title)
    steps = _column(records, "env_steps")
    for ax, name in ((left, "return"), (right, "success")):
        for stage, colour, label in (("pre", BEFORE, "before"), ("post", AFTER, "after")):
            values = _column(records, f"{name}_{stage}")
            marker = "o" if len(records) == 1 else ""
            ax.plot(steps, values, color=colour, label=f"{label} adaptation", marker=marker)
        ax.set_xlabel("environment steps")
        ax.set_ylabel(f"{name}, training tasks")
    right.set_ylim(-0.02, 1.02)
    left.legend(frameon=False, fontsize=9, loc="lower right")
    figure.savefig(path)


def metatest_curve(
    path: Path, report: Mapping[str, Any], paper: Mapping[str, Any] | None = None, title: str = ""
) -> None:
    """Return and success over meta-test iterations, with intervals.

    Args:
      path: PNG to write.
      report: what metatest.json holds.
      paper: returns to draw beside it, one of the suites in results/paper.json.
      title: above the picture.
    """
    figure, (left, right) = _figure(title)
    for ax, name in ((left, "return"), (right, "success")):
        column = {key: _floats(values) for key, values in report[name].items()}
        x = np.arange(len(column["mean"]))
        ax.plot(x, column["mean"], color=AFTER, marker=".", label="this run", zorder=3)
        ax.fill_between(x, column["low"], column["high"], color=AFTER, alpha=0.2, linewidth=0)
        idle = report["do_nothing"][name]
        ax.axhline(idle, color=IDLE, linestyle=":", label="doing nothing")
        ax.set_xlabel("meta-test iteration")
        ax.set_ylabel(f"sparse {name}, {report['num_tasks']} held-out tasks")
    right.set_ylim(-0.02, 1.02)
    if paper is not None:
        _draw_paper(left, right, paper, report["num_iterations"])
    _legend_below(figure, left)
    figure.savefig(path)


def comparison(
    path: Path, reports: Sequence[Mapping[str, Any]], paper: Mapping[str, Any] | None = None
) -> None:
    """Meta-test curves by preset: the mean over its runs, and the range of their means.

    Args:
      path: PNG to write.
      reports: what the metatest.json of each run holds.
      paper: returns to draw beside them, one of the suites in results/paper.json.
    """
    figure, (left, right) = _figure("Meta-test on held-out tasks, sparse reward")
    presets = list(dict.fromkeys(report["preset"] for report in reports))
    last = min(report["num_iterations"] for report in reports)
    x = np.arange(last + 1)
    for ax, name in ((left, "return"), (right, "success")):
        for i, preset in enumerate(presets):
            means = np.array(
                [_floats(r[name]["mean"][: last + 1]) for r in reports if r["preset"] == preset]
            )
            label = f"{preset} ({len(means)} seed{'s' if len(means) > 1 else ''})"
            ax.plot(x, means.mean(axis=0), color=f"C{i}", marker=".", label=label, zorder=3)
            low, high = means.min(axis=0), means.max(axis=0)
            ax.fill_between(x, low, high, color=f"C{i}", alpha=0.2, linewidth=0)
        idle = reports[0]["do_nothing"][name]
        ax.axhline(idle, color=IDLE, linestyle=":", label="doing nothing")
        ax.set_xlabel("meta-test iteration")
        ax.set_ylabel(f"sparse {name}")
    right.set_ylim(-0.02, 1.02)
    if paper is not None:
        _draw_paper(left, right, paper, last)
    _legend_below(figure, left)
    figure.savefig(path)


def _draw_paper(left: Axes, right: Axes, paper: Mapping[str, Any], last: int) -> None:
    """The paper's figure, and its released policies measured again."""
    for name, curve in paper["curves"].items():
        points = _points(curve, last)
        (line,) = left.plot(*points, "s--", color=PAPER[name], label=f"{name}, paper")
        line.set(markersize=3, linewidth=1)
    released, label = paper.get("released_policies"), "MAESN, released policies"
    if released is not None:
        for ax, name in ((left, "return"), (right, "success")):
            ax.plot(*_points(released[name], last), "x", color=PAPER["MAESN"], label=label)


def _points(curve: Mapping[str, float], last: int) -> tuple[list[int], list[float]]:
    """x and y up to ``last``."""
    pairs = sorted((int(x), y) for x, y in curve.items() if int(x) <= last)
    return [x for x, _ in pairs], [y for _, y in pairs]


def _figure(title: str) -> tuple[Figure, Sequence[Axes]]:
    """Two panels side by side."""
    figure = Figure(figsize=(10, 4), dpi=120, layout="constrained")
    axes = figure.subplots(1, 2)
    figure.suptitle(title, fontsize=11)
    for ax in axes:
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _legend_below(figure: Figure, ax: Axes) -> None:
    """One legend for both panels."""
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=9)


def _floats(values: Sequence[float | None]) -> np.ndarray:
    """None becomes NaN, which is not drawn."""
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def _column(records: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    return _floats([record.get(name) for record in records])
