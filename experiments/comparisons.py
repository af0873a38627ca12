"""Runs side by side: their reports, read and checked; their curves; the files of a comparison.

Runs of one label are one curve: mean, interquartile mean and success over its seeds and the tasks.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from csv_files import write_rows
from errors import UsageError
from explorax.sinks import COUNTERS, SinkError, read_jsonl
from intervals import Interval, difference, interquartile_mean, interval, mean
from result_files import MetaTest, read_result
from run_directory import RunDirectory

Report = dict[str, Any]
Scores = dict[str, Float[np.ndarray, "M N S"]]
"""``return`` and ``success`` of M seeds and N tasks at S meta-test iterations."""

SAME_TEST = ("env", "num_tasks", "num_episodes", "tasks")
"""What all runs have to share to be drawn side by side."""
SAME = ("settings_id", "meta_iteration")
"""What the runs of one label have to share for their mean to mean something."""


def read_reports(run_dirs: Sequence[Path], labels: Sequence[str] | None = None) -> list[Report]:
    """The metatest.json of every seed of every run, with its ``label`` and ``run_dir`` besides.

    Args:
      run_dirs: of one seed or several.
      labels: of each, the name of the curve that it belongs to; its preset, and where its members
        differ in their settings these, if not given.

    Raises:
      UsageError: one is missing or unreadable, or they cannot be compared.
    """
    of_runs = labels or [None] * len(run_dirs)
    members = [(la, *m) for d, la in zip(run_dirs, of_runs, strict=True) for m in _members(d)]
    reports = [_read(*member) for member in members]
    first: dict[str, Report] = {}
    seen = set()
    for report in reports:
        label, seed = report["label"], report["seed"]
        if (label, seed) in seen:
            raise UsageError(f"{report['run_dir']}: is a second run of {label} with seed {seed}")
        seen.add((label, seed))
        _check_same(report, reports[0], SAME_TEST, "other runs")
        _check_same(report, first.setdefault(label, report), SAME, f"others of {label}")
    return reports


def _check_same(report: Report, other: Report, names: Sequence[str], whose: str) -> None:
    for name in names:
        if report[name] != other[name]:
            raise UsageError(
                f"{report['run_dir']}: has {name} {report[name]}, {whose} have {other[name]}"
            )


def _members(run_dir: Path) -> list[tuple[Path, str]]:
    """Where a run has metatest.json: itself, or its members' directories; and their settings."""
    if (run_dir / "metatest.json").exists() or not (run_dir / "config.json").exists():
        return [(run_dir, "")]
    return [(member.path, member.setting) for member in RunDirectory.open(run_dir).members()]


def _read(label: str | None, run_dir: Path, setting: str) -> Report:
    report = read_result(run_dir / "metatest.json", MetaTest)
    usual = " ".join([report["preset"], *([setting] if setting else [])])
    return report | {"label": label or usual, "run_dir": run_dir}


def seeds_of(reports: Sequence[Report]) -> dict[str, int]:
    """How many seeds every label has."""
    labels = [report["label"] for report in reports]
    return {label: labels.count(label) for label in labels}


def scores_of(reports: Sequence[Report]) -> dict[str, Scores]:
    """What every label scored, at the iterations that all its seeds have."""
    return {
        label: _scores([r for r in reports if r["label"] == label]) for label in seeds_of(reports)
    }


def _scores(reports: Sequence[Report]) -> Scores:
    num_scored = 1 + min(report["num_iterations"] for report in reports)
    rows = {
        name: [report["per_task"][name] for report in reports] for name in ("return", "success")
    }
    return {
        name: np.stack([np.array(of_seed, float)[:, :num_scored] for of_seed in of_seeds])
        for name, of_seeds in rows.items()
    }


CURVES = {
    "return": ("return", mean),
    "return_iqm": ("return", interquartile_mean),
    "success": ("success", mean),
}
"""What is drawn: of which score, over all seeds and tasks."""


def curves_of(scores: Scores) -> dict[str, Interval]:
    """The CURVES of one label, each with an interval."""
    return {name: interval(scores[of], statistic) for name, (of, statistic) in CURVES.items()}


def check_reference(reference: str | None, labels: Sequence[str]) -> None:
    """Raises UsageError where there is no such curve to take differences to."""
    if reference not in (None, *labels):
        raise UsageError(f"reference: must be among {', '.join(labels)}; got '{reference}'")


def write_comparison(
    out: Path,
    reports: Sequence[Report],
    paper: Mapping[str, Any] | None = None,
    levels: Mapping[str, Scores] | None = None,
    title: str = "",
    reference: str | None = None,
) -> list[Path]:
    """Draws runs side by side and writes the curves, every run, and all of their training.

    Args:
      out: path of the PNG and the CSVs, without a suffix.
      reports: of all runs.
      paper: returns to draw beside them, one of the suites in results/paper.json.
      levels: scores at a single iteration, to draw as lines.
      title: what the runs have in common.
      reference: the label to write the others' differences to.

    Returns:
      The files.

    Raises:
      UsageError: no run has the reference's label.
    """
    check_reference(reference, list(seeds_of(reports)))
    from pictures import comparison  # takes seconds to import

    out.parent.mkdir(parents=True, exist_ok=True)
    suffixes = (".png", ".csv", "-runs.csv", "-training.csv")
    png, table, each, training = (out.with_name(out.name + suffix) for suffix in suffixes)
    curves = {label: curves_of(scores) for label, scores in scores_of(reports).items()}
    lines = {label: curves_of(scores) for label, scores in (levels or {}).items()}
    comparison(png, curves, seeds_of(reports), reports[0]["do_nothing"], paper, lines, title)
    write_curves(table, curves, seeds_of(reports))
    write_runs(each, reports)
    write_training(training, reports)
    files = [png, table, each, training]
    if reference is not None:
        files.append(out.with_name(f"{out.name}-differences.csv"))
        write_differences(files[-1], reports, reference)
    return files


COLUMNS = [(name, part) for name in ("return", "success") for part in ("mean", "low", "high")]


def _titles(columns: Sequence[tuple[str, str]]) -> list[str]:
    return [name if part == "mean" else f"{name}_{part}" for name, part in columns]


def _short(
    intervals: Mapping[str, Any], columns: Sequence[tuple[str, str]], i: int
) -> list[float | None]:
    """The columns' values at an iteration, rounded; None where a score is not finite."""
    values = (intervals[name][part][i] for name, part in columns)
    return [None if x is None else round(x, 4) for x in values]


def write_runs(path: Path, reports: Sequence[Report]) -> None:
    """One line per run and meta-test iteration."""
    about = ["label", "seed", "meta_iteration"]
    header = [*about, "metatest_iteration", *(f"{name}_{part}" for name, part in COLUMNS)]
    rows = (
        [*(report[name] for name in about), i, *_short(report, COLUMNS, i)]
        for report in reports
        for i in range(report["num_iterations"] + 1)
    )
    write_rows(path, header, rows)


def metrics_of(run_dir: Path) -> list[dict[str, Any]]:
    """The lines of a seed's metrics.jsonl; none where a run was not trained.

    Raises:
      UsageError: a line is none of metrics, or lacks a counter.
    """
    file = run_dir / "metrics.jsonl"
    try:
        records = read_jsonl(file) if file.exists() else []
    except SinkError as error:
        raise UsageError(str(error)) from error
    for number, record in enumerate(records, start=1):
        for name in COUNTERS:
            if not (record.get(name) or 0) > 0:
                raise UsageError(f"{file}: line {number}: {name} is missing or not positive")
    return records


def minutes(run_dirs: Sequence[Path]) -> float | None:
    """What training took, all runs together; None where there was none."""
    last = [records[-1]["wall_s"] for records in map(metrics_of, run_dirs) if records]
    return sum(last) / 60 if last else None


TRAINING_COLUMNS = (
    "meta_iteration", "env_steps", "wall_s", "steps_per_s", "return_pre", "return_post",
    "success_pre", "success_post", "kl_latent", "kl_policy", "action_std", "inner_lr_mean",
    "inner_lr_log_std", "inner_lr_params",
)  # fmt: skip


def write_training(path: Path, reports: Sequence[Report]) -> None:
    """One line per run and meta-iteration, of the runs that were trained."""
    short = lambda x: f"{x:.6g}" if isinstance(x, float) else x  # noqa: E731
    rows = (
        [report["label"], report["seed"], *(short(record.get(name)) for name in TRAINING_COLUMNS)]
        for report in reports
        for record in metrics_of(report["run_dir"])
    )
    write_rows(path, ["label", "seed", *TRAINING_COLUMNS], rows)


def write_curves(path: Path, curves: dict[str, dict[str, Interval]], seeds: dict[str, int]) -> None:
    """One line per label and meta-test iteration."""
    parts = [(name, part) for name in CURVES for part in ("mean", "low", "high")]
    rows = (
        [label, seeds[label], i, *_short(curve, parts, i)]
        for label, curve in curves.items()
        for i in range(len(curve["return"]["mean"]))
    )
    write_rows(path, ["label", "seeds", "metatest_iteration", *_titles(parts)], rows)


def write_differences(path: Path, reports: Sequence[Report], reference: str) -> None:
    """How much every other label is above one: a line per meta-test iteration that both have."""
    scores, rows = scores_of(reports), []
    others = scores.pop(reference)
    for label, ones in scores.items():
        both = min(ones["return"].shape[2], others["return"].shape[2])
        found = {
            name: difference(ones[name][..., :both], others[name][..., :both]) for name in ones
        }
        rows += [[label, reference, i, *_short(found, COLUMNS, i)] for i in range(both)]
    write_rows(path, ["label", "reference", "metatest_iteration", *_titles(COLUMNS)], rows)
