"""Draws runs side by side: ``python experiments/figure.py runs/A runs/B ...``.

Runs of one preset are one curve, the mean over its seeds. Beside it are a CSV with every run, and
one with every meta-iteration of their training.
Exit codes: 0 done, 2 wrong flags or paths.
"""

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from cli import parse, run_main
from errors import UsageError
from paper import paper_curves


@dataclass(frozen=True)
class FigureConfig:
    """Meta-test curves of several runs, with the paper's where they are on Push."""

    run_dirs: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Directories with a metatest.json; every run below runs/ if none is given."""
    out: Path = Path("runs/figure")
    """Path of the PNG and both CSVs, without a suffix."""


SAME = ("settings_id", "meta_iteration", "num_tasks", "num_episodes", "tasks")
"""What the runs of one preset have to share for their mean to mean something."""
NEEDED = ("preset", "seed", "env", "num_iterations", "return", "success", "do_nothing", *SAME)


def read_reports(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The metatest.json of every directory.

    Raises:
      UsageError: one is missing or unreadable, or they cannot be compared.
    """
    reports = [_read(path / "metatest.json") for path in paths]
    if not reports:
        raise UsageError("run_dirs: no run with a metatest.json was found below runs/")
    if len({report["env"] for report in reports}) > 1:
        raise UsageError("run_dirs: the runs are of different environments")
    first: dict[str, dict[str, Any]] = {}
    seen = set()
    for path, report in zip(paths, reports, strict=True):
        preset, seed = report["preset"], report["seed"]
        if (preset, seed) in seen:
            raise UsageError(f"run_dirs: {path} is a second run of {preset} with seed {seed}")
        seen.add((preset, seed))
        for name in SAME:
            usual = first.setdefault(preset, report)[name]
            if report[name] != usual:
                raise UsageError(
                    f"run_dirs: {path} has {name} {report[name]}, other runs of {preset} {usual}"
                )
    return reports


def _tested(run_dir: Path) -> list[Path]:
    """Where a run has metatest.json: itself, or the directories of its seeds."""
    return sorted(f.parent for g in ("", "seed*/") for f in run_dir.glob(f"{g}metatest.json"))


def _read(file: Path) -> dict[str, Any]:
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"run_dirs: {file} is missing") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"run_dirs: {file} cannot be read ({error})") from None
    missing = [name for name in NEEDED if not isinstance(report, dict) or name not in report]
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
            lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
            for record in map(json.loads, lines):
                values = (record.get(name) for name in TRAINING_COLUMNS)
                short = (f"{x:.6g}" if isinstance(x, float) else x for x in values)
                writer.writerow([report["preset"], report["seed"], *short])


def main(argv: Sequence[str]) -> int:
    """Draws what the flags name."""
    config = parse(FigureConfig, argv)
    asked = config.run_dirs or sorted(path for path in Path("runs").glob("*") if _tested(path))
    run_dirs = [member for path in asked for member in _tested(path) or [path]]
    reports = read_reports(run_dirs)
    from pictures import comparison

    config.out.parent.mkdir(parents=True, exist_ok=True)
    png, table = config.out.with_suffix(".png"), config.out.with_suffix(".csv")
    comparison(png, reports, paper_curves(reports[0]["env"]))
    write_csv(table, reports)
    training = config.out.with_name(config.out.name + "-training.csv")
    write_training(training, run_dirs, reports)
    print(f"{png}\n{table}\n{training}")
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
