"""Curves as PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

BEFORE, AFTER, IDLE = "#9aa3ad", "#2b4c7e", "#30343a"
PAPER = {
    "MAESN": "#e07a1f",
    "LatentSpace": "#2f9e5b",
    "MAML": "#a05195",
    "RL2": "#b8860b",
    "TRPO": "#4a7fb5",
    "VIME": "#8c564b",
}
"""Colours of the paper's curves."""
OURS = {
    "maesn": "MAESN",
    "latent-space": "LatentSpace",
    "maml": "MAML",
    "rl2": "RL2",
    "scratch": "TRPO",
    "rnd": "VIME",
}
"""Method of a preset SUITE-METHOD -> the curve of the paper that it is, or is nearest to."""
NOT_IN_PAPER = {
    "diayn-scratch": "#00a5b8",
    "diayn-maml": "#9a9a1e",
    "hmrl-random": "#7f8c8d",
    "hmrl-distilled": "#00695c",
    "hmrl-latent": "#1a237e",
    "hmrl-skills": "#c2185b",
}
"""Colours of methods that the paper does not have."""
LEVELS = {"best-skill": "#e57399", "best-skill-tried": "#7b1040"}
"""Colours of what has no curve."""

File = Path | IO[bytes]
"""Path or file object to write a PNG to."""
Curves = Mapping[str, Mapping[str, Sequence[float | None]]]
"""For each score, ``mean``, ``low`` and ``high`` by meta-test iteration."""


def training_curve(
    path: File, records: Sequence[Mapping[str, Any]], title: str = "", stacked: bool = False
) -> None:
    """Return and success before and after adaptation over environment steps.

    Here and below ``stacked`` puts the panels below one another, for narrow pages.
    """
    figure, (left, right) = _figure(title, stacked=stacked)
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


def skill_curves(
    path: File, records: Sequence[Mapping[str, Any]], title: str = "", stacked: bool = False
) -> None:
    """How far skills can be told apart, over environment steps."""
    panels = {
        "intrinsic_reward": "intrinsic reward (nats)",
        "accuracy": "accuracy",
        "distinct_skills": "distinct skills",
    }
    columns = {name: _column(records, name) for name in panels}
    drawn = [name for name, values in columns.items() if np.isfinite(values).any()]
    figure, axes = _figure(title, num_panels=len(drawn), stacked=stacked)
    steps = _column(records, "env_steps")
    for ax, name in zip(axes, drawn, strict=True):
        ax.plot(steps, columns[name], color=AFTER, marker="o" if len(records) == 1 else "")
        ax.set(xlabel="environment steps", ylabel=f"{panels[name]}, training tasks")
    figure.savefig(path)


def metatest_curve(
    path: File,
    report: Mapping[str, Any],
    paper: Mapping[str, Any] | None = None,
    title: str = "",
    stacked: bool = False,
) -> None:
    """Return and success over meta-test iterations, with intervals.

    Args:
      path: PNG to write.
      report: what metatest.json holds.
      paper: returns to draw beside it, one of the suites in results/paper.json.
      title: above the picture.
      stacked: whether its panels are below one another.
    """
    figure, (left, right) = _figure(title, stacked=stacked)
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
    path: File,
    curves: Mapping[str, Curves],
    num_seeds: Mapping[str, int],
    idle: Mapping[str, float],
    paper: Mapping[str, Any] | None = None,
    levels: Mapping[str, Curves] | None = None,
    title: str = "",
    stacked: bool = False,
) -> None:
    """Meta-test curves by label, with intervals.

    Args:
      path: PNG to write.
      curves: of each label ``return``, ``return_iqm`` and ``success``, each with ``mean``,
        ``low`` and ``high`` by iteration.
      num_seeds: of each label.
      idle: return and success of doing nothing.
      paper: returns to draw beside them, as marks; one of the suites in results/paper.json.
      levels: curves of a single iteration, to draw as dashed lines.
      title: above the picture, what the curves have in common.
      stacked: whether its panels are below one another.
    """
    is_full = len(curves) > 7
    titles = [part for part in ("Meta-test on held-out tasks, sparse reward", title) if part]
    height = 5.5 if is_full else 4
    figure, axes = _figure("; ".join(titles), num_panels=3, height=height, stacked=stacked)
    panels = {"return": "mean return", "return_iqm": "interquartile mean return"}
    panels |= {"success": "success"}
    last = max(len(curve["return"]["mean"]) for curve in curves.values()) - 1
    band = 0.08 if is_full else 0.2
    for ax, (name, shown) in zip(axes, panels.items(), strict=True):
        for i, (label, curve) in enumerate(curves.items()):
            n = num_seeds[label]
            titled = f"{label} ({n} seed{'s' if n > 1 else ''})"
            _draw_interval(ax, curve[name], titled, _style(label, i), band)
        for label, level in (levels or {}).items():
            (value,) = _floats(level[name]["mean"])
            ax.axhline(value, color=LEVELS.get(label, IDLE), linestyle="--", label=label)
        if name != "return_iqm":  # of doing nothing there is the mean only
            ax.axhline(idle[name], color=IDLE, linestyle=":", label="doing nothing")
        ax.set(xlabel="meta-test iteration", ylabel=shown)
        if last > 20:
            ax.set_xscale("symlog", linthresh=10)
            ticks = [x for x in (0, 5, 10, 20, 50, 100) if x <= last]
            ax.set_xticks(ticks, [str(x) for x in ticks])
            ax.set_xlim(-0.3, 1.05 * last)
    axes[-1].set_ylim(-0.02, 1.02)
    if paper is not None:
        _draw_paper(axes[0], axes[-1], paper, last, "s")
    _legend_below(figure, axes[0])
    figure.savefig(path)


def _style(label: str, i: int) -> dict[str, Any]:
    """A method's own colour, with the suite before it or not; of others the i-th."""
    colours = {method: PAPER[name] for method, name in OURS.items()} | NOT_IN_PAPER
    for method in (label, label.partition("-")[2]):
        if method in colours:
            return {"color": colours[method]}
    return {"color": f"C{i}", "linestyle": "-" if i < 10 else "-."}


def _draw_interval(
    ax: Axes,
    column: Mapping[str, Sequence[float | None]],
    label: str,
    style: Mapping[str, Any],
    band: float,
) -> None:
    """A mean by iteration, and its interval as a band of that opacity."""
    mean, low, high = (_floats(column[part]) for part in ("mean", "low", "high"))
    x = np.arange(len(mean))
    ax.plot(x, mean, label=label, zorder=3, **style)
    ax.fill_between(x, low, high, color=style["color"], alpha=band, linewidth=0)


def _draw_paper(
    left: Axes, right: Axes, paper: Mapping[str, Any], last: int, style: str = "s--"
) -> None:
    """The paper's figure, and its released policies measured again."""
    for name, curve in paper["curves"].items():
        points = _points(curve, last)
        if len(points[0]) < 2:
            continue
        (line,) = left.plot(*points, style, color=PAPER[name], label=f"{name}, paper")
        line.set(markersize=3, linewidth=1)
    released, label = paper.get("released_policies"), "MAESN, released policies"
    if released is not None:
        for ax, name in ((left, "return"), (right, "success")):
            ax.plot(*_points(released[name], last), "x", color=PAPER["MAESN"], label=label)


def _points(curve: Mapping[str, float], last: int) -> tuple[list[int], list[float]]:
    """x and y up to ``last``."""
    pairs = sorted((int(x), y) for x, y in curve.items() if int(x) <= last)
    return [x for x, _ in pairs], [y for _, y in pairs]


class Panel(NamedTuple):
    """One hyperparameter of a sweep and what its runs scored."""

    name: str
    x: Sequence[float]  # its value in each run, or the value's place among ``ticks``
    ticks: Sequence[str] | None = None  # the values where they are listed
    log: bool = False


def hyperparameters(
    path: Path, panels: Sequence[Panel], scores: Sequence[float], best: Sequence[bool], metric: str
) -> None:
    """What every run scored over each hyperparameter, with the mean at, or near, its values.

    Args:
      path: PNG to write.
      panels: one per hyperparameter.
      scores: of each run.
      best: which runs are of the best setting.
      metric: what is scored.
    """
    figure, axes = _figure("Runs of a sweep; filled: the best setting", num_panels=len(panels))
    y, is_best = np.array(scores), np.array(best, dtype=bool)
    for ax, panel in zip(axes, panels, strict=True):
        x = np.array(panel.x, dtype=float)
        ax.plot(*_means(x, y, panel), color=BEFORE, label="mean")
        ax.plot(x[~is_best], y[~is_best], "o", color=AFTER, mfc="none", label="runs")
        ax.plot(x[is_best], y[is_best], "o", color=PAPER["MAESN"], markersize=9, label="best")
        ax.set(xlabel=panel.name, ylabel=metric)
        if panel.log:
            ax.set_xscale("log")
            ax.xaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}")
            ax.xaxis.set_minor_locator(NullLocator())
        if panel.ticks is not None:
            ax.set_xticks(range(len(panel.ticks)), panel.ticks)
            ax.set_xlim(-0.5, len(panel.ticks) - 0.5)
    _legend_below(figure, axes[0])
    figure.savefig(path)


def _means(x: np.ndarray, y: np.ndarray, panel: Panel) -> tuple[list[float], list[float]]:
    """Means at each listed value, or over each fifth of the range, at its middle."""
    if panel.ticks is not None:
        places = np.unique(x)
        return places.tolist(), [float(y[x == place].mean()) for place in places]
    scaled = np.log(x) if panel.log else x
    edges = np.linspace(scaled.min(), scaled.max(), 6)
    middles, of_bin = (edges[:-1] + edges[1:]) / 2, np.digitize(scaled, edges[1:-1])
    filled = [i for i in range(len(middles)) if (of_bin == i).any()]
    at = np.exp(middles) if panel.log else middles
    return at[filled].tolist(), [float(y[of_bin == i].mean()) for i in filled]


def _figure(
    title: str, num_panels: int = 2, height: float = 4, stacked: bool = False
) -> tuple[Figure, Sequence[Axes]]:
    """Panels side by side, or below one another."""
    rows, columns = (num_panels, 1) if stacked else (1, num_panels)
    size = (5 * columns, height * rows)
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    figure.suptitle(title, fontsize=11)
    for ax in axes:
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _legend_below(figure: Figure, ax: Axes) -> None:
    """One legend for all panels."""
    handles, labels = ax.get_legend_handles_labels()
    ncols = 5 if figure.get_figwidth() >= 10 else 2
    figure.legend(
        handles, labels, loc="outside lower center", ncols=ncols, frameon=False, fontsize=9
    )


def _floats(values: Sequence[float | None]) -> np.ndarray:
    """Values as an array; None becomes NaN, which is not drawn."""
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def _column(records: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    return _floats([record.get(name) for record in records])
