"""Draws methods side by side: ``python experiments/figure.py --suite push``, or ``... RUN RUN``.

Of a suite it trains what is missing first. Runs of one preset are one curve: mean, interquartile
mean and success over its seeds and the tasks. Beside the picture are three CSVs: the curves, every
run, and every meta-iteration of their training.
Exit codes: 0 done, 1 a training ended early, 2 wrong flags or paths.
"""

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from child_runs import train_missing
from cli import parse, run_main
from errors import UsageError
from explorax.config import require
from explorax.sinks import SinkError, read_jsonl
from intervals import Interval, interquartile_mean, interval, mean
from paper import paper_curves
from presets import SuiteName
from run_directory import RunDirectory
from suite_runs import ROOT, Budget, configs, directory


@dataclass(frozen=True)
class FigureConfig:
    """Meta-test curves of all methods on a suite, beside the paper's."""

    run_dirs: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Runs to draw, as they are; without any, the suite's are trained where they are missing."""
    suite: SuiteName = "push"
    """Which environment."""
    seeds: int = 3
    """Seeds per method."""
    budget: Budget = "small"
    """Meta-training steps: 24 million on Push and Wheeled and 48 on Ant, for a CPU; or 100 million,
    with the exact physics, for a GPU."""
    runs: Path = ROOT
    """The suite's runs are kept in RUNS/SUITE-BUDGET-SEEDSseeds/PRESET."""
    out: Path | None = None
    """Path of the PNG and the CSVs, without a suffix; beside the suite's runs if not given, or
    runs/figure of runs that are named."""

    def __post_init__(self):
        require(1 <= self.seeds <= 1024, "seeds", "must be in 1..1024")
        of_suite = (self.suite, self.seeds, self.budget) != ("push", 3, "small")
        require(
            not (self.run_dirs and of_suite),
            "run_dirs",
            "are drawn as they are; --suite, --seeds and --budget are for the suite's own runs",
        )


SAME_TEST = ("env", "num_tasks", "num_episodes", "tasks")
"""What all runs have to share to be drawn side by side."""
SAME = ("settings_id", "meta_iteration")
"""What the runs of one preset have to share for their mean to mean something."""
NEEDED = ("preset", "seed", "num_iterations", "return", "success", "do_nothing", "per_task")


def read_reports(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The metatest.json of every directory.

    Raises:
      UsageError: one is missing or unreadable, or they cannot be compared.
    """
    reports = [_read(path / "metatest.json") for path in paths]
    if not reports:
        raise UsageError("run_dirs: none of them has a metatest.json")
    first: dict[str, dict[str, Any]] = {}
    seen = set()
    for path, report in zip(paths, reports, strict=True):
        preset, seed = report["preset"], report["seed"]
        if (preset, seed) in seen:
            raise UsageError(f"run_dirs: {path} is a second run of {preset} with seed {seed}")
        seen.add((preset, seed))
        _check_same(path, report, reports[0], SAME_TEST, "other runs")
        _check_same(path, report, first.setdefault(preset, report), SAME, f"others of {preset}")
    return reports


def _check_same(
    path: Path, report: dict[str, Any], other: dict[str, Any], names: Sequence[str], whose: str
) -> None:
    for name in names:
        if report[name] != other[name]:
            raise UsageError(
                f"run_dirs: {path} has {name} {report[name]}, {whose} have {other[name]}"
            )


def _members(run_dir: Path) -> list[Path]:
    """Where a run has metatest.json: itself, or the directories of its seeds."""
    if (run_dir / "metatest.json").exists() or not (run_dir / "config.json").exists():
        return [run_dir]
    return [member.path for member in RunDirectory.open(run_dir).members()]


def _read(file: Path) -> dict[str, Any]:
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"run_dirs: {file} is missing") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"run_dirs: {file} cannot be read ({error})") from None
    needed = (*NEEDED, *SAME_TEST, *SAME)
    missing = [name for name in needed if not isinstance(report, dict) or name not in report]
    if missing:
        raise UsageError(f"run_dirs: {file} has no {missing[0]}")
    return report


COLUMNS = [(name, part) for name in ("return", "success") for part in ("mean", "low", "high")]


def write_csv(path: Path, reports: Sequence[dict[str, Any]]) -> None:
    """One line per run and meta-test iteration."""
    names = [f"{name}_{part}" for name, part in COLUMNS]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["preset", "seed", "meta_iteration", "metatest_iteration", *names])
        for report in reports:
            about = [report["preset"], report["seed"], report["meta_iteration"]]
            for i in range(report["num_iterations"] + 1):
                row = [report[name][part][i] for name, part in COLUMNS]
                writer.writerow([*about, i, *(None if x is None else round(x, 4) for x in row)])


def _metrics(file: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; none where a run has no such file."""
    try:
        return read_jsonl(file) if file.exists() else []
    except SinkError as error:
        raise UsageError(f"run_dirs: {error}") from error


TRAINING_COLUMNS = (
    "meta_iteration", "env_steps", "wall_s", "steps_per_s", "return_pre", "return_post",
    "success_pre", "success_post", "kl_latent", "kl_policy", "action_std", "inner_lr_mean",
    "inner_lr_log_std", "inner_lr_params",
)  # fmt: skip


def write_training(path: Path, run_dirs: Sequence[Path], reports: Sequence[dict[str, Any]]) -> None:
    """One line per run and meta-iteration, of the runs that were trained."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["preset", "seed", *TRAINING_COLUMNS])
        for run_dir, report in zip(run_dirs, reports, strict=True):
            metrics = run_dir / "metrics.jsonl"
            for record in _metrics(metrics):
                values = (record.get(name) for name in TRAINING_COLUMNS)
                short = (f"{x:.6g}" if isinstance(x, float) else x for x in values)
                writer.writerow([report["preset"], report["seed"], *short])


CURVES = {
    "return": ("return", mean),
    "return_iqm": ("return", interquartile_mean),
    "success": ("success", mean),
}
"""What is drawn: of which score, over all seeds and tasks."""


def curves_of(reports: Sequence[dict[str, Any]]) -> dict[str, dict[str, Interval]]:
    """Of every preset the CURVES, each with an interval."""
    presets = dict.fromkeys(report["preset"] for report in reports)
    return {preset: _curves([r for r in reports if r["preset"] == preset]) for preset in presets}


def _curves(reports: Sequence[dict[str, Any]]) -> dict[str, Interval]:
    last = min(report["num_iterations"] for report in reports)
    curves = {}
    for name, (score, statistic) in CURVES.items():
        rows = [np.array(report["per_task"][score], float)[:, : last + 1] for report in reports]
        curves[name] = interval(np.stack(rows), statistic)
    return curves


def write_curves(path: Path, curves: dict[str, dict[str, Interval]], seeds: dict[str, int]) -> None:
    """One line per preset and meta-test iteration."""
    parts = [(name, part) for name in CURVES for part in ("mean", "low", "high")]
    titles = [name if part == "mean" else f"{name}_{part}" for name, part in parts]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["preset", "seeds", "metatest_iteration", *titles])
        for preset, curve in curves.items():
            for i in range(len(curve["return"]["mean"])):
                row = [curve[name][part][i] for name, part in parts]
                short = [None if x is None else round(x, 4) for x in row]
                writer.writerow([preset, seeds[preset], i, *short])


def main(argv: Sequence[str]) -> int:
    """Draws what the flags name."""
    config = parse(FigureConfig, argv)
    asked, out = config.run_dirs, config.out or ROOT
    if not asked:
        root = directory(config.runs, config.suite, config.budget, config.seeds)
        wanted = configs(config.suite, config.budget, config.seeds)
        asked = train_missing({root / run.preset: run for run in wanted})
        out = config.out or root / "figure"
    run_dirs = [member for path in asked for member in _members(path)]
    reports = read_reports(run_dirs)
    from pictures import comparison

    out.parent.mkdir(parents=True, exist_ok=True)
    png, table, each, training = (
        out.with_name(out.name + suffix)
        for suffix in (".png", ".csv", "-runs.csv", "-training.csv")
    )
    presets = [report["preset"] for report in reports]
    seeds = {preset: presets.count(preset) for preset in presets}
    curves, first = curves_of(reports), reports[0]
    comparison(png, curves, seeds, first["do_nothing"], paper_curves(first["env"]))
    write_curves(table, curves, seeds)
    write_csv(each, reports)
    write_training(training, run_dirs, reports)
    print("\n".join(str(path) for path in (png, table, each, training)))
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
