"""What a page says of meta-tests: curves beside the paper's, tables, runs side by side."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pictures
from comparisons import Report, curves_of, scores_of, seeds_of
from intervals import Interval
from pages.page import Section, Table, Text
from pages.sections import chart, score, whose
from paper import paper_curves
from run_directory import RunDirectory

ITERATIONS = (0, 1, 2, 3, 5, 8, 10)
"""Meta-test iterations in the table of a run, besides the last."""
COMPARED = (0, 1, 5, 10)
"""Meta-test iterations in the tables of several runs."""
NOTHING = "–"

Curves = Mapping[str, Interval]


def metatest_section(run: RunDirectory, reports: Sequence[Report]) -> Section:
    """A picture of every seed, and a table of all."""
    paper = paper_curves(run.config.env.name)
    charts = [
        chart(
            partial(pictures.metatest_curve, report=report, paper=paper),
            picture_alt(report, ", beside the paper's" if paper else ""),
            whose(run, member),
        )
        for member, report in zip(run.members(), reports, strict=True)
    ]
    first = reports[0]
    origin = f" of {first['tasks']}" if first["tasks"] else ""
    about = (
        f"{first['num_tasks']} held-out tasks{origin}, sparse reward, {first['num_episodes']} "
        f"episodes a task and iteration; the checkpoint of meta-iteration "
        f"{first['meta_iteration']}. Intervals are 95%, bootstrap over "
        f"tasks{', in the table over seeds, too' if len(reports) > 1 else ''}."
    )
    return Section("Meta-test", [Text(about), *charts, metatest_table(run, reports, paper)])


def picture_alt(report: Report, beside: str) -> str:
    """The curve in words."""
    last, returns, success = (report[k] for k in ("num_iterations", "return", "success"))
    first, end = (score(returns["mean"][i], None, None) for i in (0, last))
    shares = [score(success["mean"][i], None, None, percent=True) for i in (0, last)]
    return (
        f"Return and success by meta-test iteration{beside}: from {first} and {shares[0]} to "
        f"{end} and {shares[1]} at iteration {last}."
    )


def metatest_table(
    run: RunDirectory, reports: Sequence[Report], paper: Mapping[str, Any] | None
) -> Table:
    """Means over seeds and tasks at some iterations, and doing nothing, beside the paper."""
    same = [report | {"label": ""} for report in reports]
    curves, idle = curves_of(scores_of(same)[""]), reports[0]["do_nothing"]
    several = len(reports) > 1
    last = len(curves["return"]["mean"]) - 1
    name, paper_column = paper_of(run.config.preset, paper)
    head = ["iteration", "return", "success"]
    head += ["return of every seed"] if several else []
    head += [f"{name}, paper"] if paper_column else []
    rows = []
    for i in sorted({i for i in (*ITERATIONS, last) if i <= last}):
        row = [str(i), at(curves, "return", i), at(curves, "success", i)]
        if several:
            of_seeds = (score(report["return"]["mean"][i], None, None) for report in reports)
            row.append(", ".join(of_seeds))
        row += [paper_column.get(str(i), NOTHING)] if paper_column else []
        rows.append(row)
    still = ["doing nothing", f"{idle['return']:.1f}", f"{idle['success']:.0%}"]
    still += [""] if several else []
    still += [paper_column["doing nothing"]] if paper_column else []
    return Table("Mean return and success by meta-test iteration", head, [*rows, still])


def paper_of(preset: str, paper: Mapping[str, Any] | None) -> tuple[str, dict[str, str]]:
    """The paper's curve of the run's method, of other methods MAESN's: its name, its points."""
    name = pictures.OURS.get(preset.partition("-")[2], "MAESN")
    if paper is None:
        return name, {}
    points = {i: f"{y:.1f}" for i, y in paper["curves"][name].items()}
    return name, points | {"doing nothing": f"{paper['do_nothing']:.1f}"}


def at(curves: Curves, name: str, i: int) -> str:
    """A curve's mean and interval at an iteration."""
    curve = curves[name]
    if i >= len(curve["mean"]):
        return NOTHING
    parts = (curve[part][i] for part in ("mean", "low", "high"))
    return score(*parts, percent=name == "success")


def comparison_section(reports: Sequence[Report]) -> Section:
    """All labels in one picture, and in a table each of return and success."""
    curves = {label: curves_of(scores) for label, scores in scores_of(reports).items()}
    first, seeds = reports[0], seeds_of(reports)
    paper, idle = paper_curves(first["env"]), first["do_nothing"]
    draw = partial(
        pictures.comparison,
        curves={as_drawn(label): curve for label, curve in curves.items()},
        num_seeds={as_drawn(label): number for label, number in seeds.items()},
        idle=idle,
        paper=paper,
    )
    ends = ", ".join(f"{label} {at(curve, 'return', len(curve['return']['mean']) - 1)}"
                     for label, curve in curves.items())  # fmt: skip
    picture = chart(draw, f"Return and success by meta-test iteration. At the last: {ends}.")
    about = (
        f"{first['num_tasks']} held-out tasks, the same for all, sparse reward, "
        f"{first['num_episodes']} episodes a task and iteration. Intervals are 95%, bootstrap "
        "over seeds and tasks."
    )
    tables = [compared(name, curves, seeds, idle[name], paper) for name in ("return", "success")]
    return Section("Meta-test", [Text(about), picture, *tables])


def as_drawn(label: str) -> str:
    """A label that matplotlib shows as it is: dollars are formulas, a first underscore hides it."""
    return (" " if label.startswith("_") else "") + label.replace("$", r"\$")


def compared(
    name: str,
    curves: Mapping[str, Curves],
    seeds: Mapping[str, int],
    idle: float,
    paper: Mapping[str, Any] | None,
) -> Table:
    """A score of every label at some iterations."""
    last = max(len(curve[name]["mean"]) for curve in curves.values()) - 1
    shown = [i for i in COMPARED if i <= last]
    rows = [
        (f"{label} ({seeds[label]} seed{'s' if seeds[label] > 1 else ''})",
         *(at(curve, name, i) for i in shown))
        for label, curve in curves.items()
    ]  # fmt: skip
    still = score(idle, None, None, percent=name == "success")
    rows.append(("doing nothing", *(still for _ in shown)))
    if paper and name == "return":
        _, points = paper_of("", paper)
        rows.append(("MAESN, paper", *(points.get(str(i), NOTHING) for i in shown)))
    return Table(f"Mean {name} by meta-test iteration", ["", *map(str, shown)], rows)
