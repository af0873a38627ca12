"""The ablation in numbers: what every row costs and scores, and how far it is from MAESN."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ablation_runs import SKILLED, Run, config_of, steps_of_meta_training, steps_of_skills
from comparisons import Scores, minutes
from csv_files import write_rows
from explorax.sinks import finite_or_none
from intervals import difference, interval, mean
from run_directory import RunDirectory
from skill_sources import skill_paths

REFERENCE = "maesn"
"""The row that all are compared with."""
AT = 5
"""The meta-test iteration at which they are."""
ALSO = (0, 1, 8)
"""Meta-test iterations of which the mean return is in the table, too."""

Line = dict[str, Any]
PARTS = {"mean": "", "low": "_low", "high": "_high"}
SCORES = ("return", "success")
COLUMNS = (
    *("row", "iteration", "seeds", "meta_training_steps", "skill_steps", "minutes"),
    *(f"return_{i}" for i in ALSO),
    *(score + part for score in SCORES for part in PARTS.values()),
    *(f"{score}_difference{part}" for score in SCORES for part in PARTS.values()),
    "returns_of_seeds",
)
"""A line is a row at a meta-test iteration; differences are to the reference at AT."""


def lines_of(
    runs: Mapping[str, Run], scores: Mapping[str, Scores], idle: Mapping[str, float]
) -> list[Line]:
    """A line for doing nothing and for every row, and one more where tasks were learned alone.

    The latter are compared at their last iteration as well, with the reference at AT as before.

    Args:
      runs: by row.
      scores: of all rows.
      idle: return and success of doing nothing.
    """
    reference = scores.get(REFERENCE)
    lines: list[Line] = [{"row": "doing-nothing"} | {name: idle[name] for name in SCORES}]
    for row, run in runs.items():
        means = scores[row]["return"].mean(axis=(0, 1))
        about = {"row": row} | costs(run)
        also = {f"return_{i}": finite_or_none(float(means[i])) for i in ALSO}
        lines.append(about | {"iteration": AT} | compare(scores[row], AT, reference) | also)
        if run.config.train.num_iterations == 0:
            last = len(means) - 1
            lines.append(about | {"iteration": last} | compare(scores[row], last, reference))
    return lines


def level_lines(
    levels: Mapping[str, Scores], reference: Scores | None, skill_dirs: Sequence[Path]
) -> list[Line]:
    """A line for each of ``levels``, of the skills in ``skill_dirs``: they have no iterations."""
    cost = {"meta_training_steps": 0, "skill_steps": steps_of_skills(config_of(SKILLED))}
    cost |= {"minutes": minutes(skill_dirs)}
    return [{"row": row} | cost | compare(level, 0, reference) for row, level in levels.items()]


def compare(scores: Scores, at: int, reference: Scores | None) -> Line:
    """What is scored at an iteration, and how much that is above the reference at AT."""
    line: Line = {"seeds": len(scores["return"])}
    for name in SCORES:
        here = scores[name][:, :, [at]]
        found = {name: interval(here, mean)}
        if reference is not None and reference is not scores:
            found[f"{name}_difference"] = difference(here, reference[name][:, :, [AT]])
        for title, parts in found.items():
            line |= {title + suffix: parts[part][0] for part, suffix in PARTS.items()}
    line["returns_of_seeds"] = scores["return"][:, :, at].mean(axis=1).tolist()
    return line


def costs(run: Run) -> Line:
    """Environment steps of one seed's training, and minutes of all seeds' together."""
    first = RunDirectory.open(run.path).members()[0]  # one program has one clock
    skills = skill_paths(run.config).values() if steps_of_skills(run.config) > 0 else ()
    return {
        "meta_training_steps": steps_of_meta_training(run.config),
        "skill_steps": steps_of_skills(run.config),
        "minutes": minutes([first.path, *skills]),
    }


def write_table(path: Path, lines: Sequence[Line]) -> None:
    """Every line, with what it has of COLUMNS."""
    write_rows(path, COLUMNS, ([_plain(line.get(name)) for name in COLUMNS] for line in lines))


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(str(_plain(x)) for x in value)
    return round(value, 4) if isinstance(value, float) else value


def print_tables(console: Console, title: str, lines: Sequence[Line]) -> None:
    """Returns and costs, then success and distances: side by side they are too wide to read."""
    returns, beside = (
        Table(title=f"{title}: return"),
        Table(title=f"{title}: beside {REFERENCE} at {AT}"),
    )
    at_others = [f"at {i}" for i in ALSO]
    _add_columns(returns, "return", "95%", "of seeds", *at_others, "steps", "min")
    _add_columns(beside, "success", "95%", "return above", "95%", "success above", "95%")
    for line in lines:
        row = line["row"], _cell(line, "iteration", "{}")
        returns.add_row(
            *row,
            *_with_interval(line, "return", "{:.0f}"),
            " ".join(f"{x:.0f}" for x in line.get("returns_of_seeds", ())),
            *(_cell(line, f"return_{i}", "{:.0f}") for i in ALSO),
            _steps(line),
            _cell(line, "minutes", "{:.0f}"),
        )
        beside.add_row(
            *row,
            *_with_interval(line, "success", "{:.0%}"),
            *_with_interval(line, "return_difference", "{:+.0f}"),
            *_with_interval(line, "success_difference", "{:+.0%}"),
        )
    console.print(returns)
    console.print(beside)


def _add_columns(table: Table, *names: str) -> None:
    table.add_column("row", no_wrap=True)
    for name in ("at", *names):
        table.add_column(name, justify="right")


def _with_interval(line: Line, name: str, style: str) -> tuple[str, str]:
    low, high = (_cell(line, name + part, style) for part in ("_low", "_high"))
    return _cell(line, name, style), f"{low} .. {high}" if low else ""


def _cell(line: Line, name: str, style: str) -> str:
    """A formatted value; empty where there is none or an adaptation diverged."""
    return "" if line.get(name) is None else style.format(line[name])


def _steps(line: Line) -> str:
    """Steps in millions, those of the skills first."""
    if "skill_steps" not in line:
        return ""
    millions = [line[name] / 1e6 for name in ("skill_steps", "meta_training_steps")]
    return " + ".join(f"{x:g}M" for x in millions if x > 0) or "none"
