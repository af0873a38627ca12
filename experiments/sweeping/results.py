"""What came of a sweep: a line per seed, and its settings from the best to the worst."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, get_args

from rich.console import Console
from rich.table import Table

from child_runs import is_finished
from comparisons import minutes
from config_json import settings_id
from csv_files import write_rows
from errors import UsageError
from result_files import Scored, read_result
from run_directory import RunDirectory
from sweeping.directory import Entry, State, SweepDirectory
from sweeping.spec import Metric, Score, SweepSpec

USUAL_ITERATION = 5
"""The meta-test iteration that is shown where the metric is the best of all."""
SHOWN = 10
"""Settings in the printed table."""


class Result(NamedTuple):
    """One seed of a finished run."""

    entry: Entry
    seed: int
    scores: dict[str, float | None]  # by metric; None where adaptation diverged
    minutes: float | None  # of training, of all in the same program; None without training


class Ranked(NamedTuple):
    """A setting and its finished seeds."""

    fields: dict[str, Any]
    results: Sequence[Result]
    score: float | None  # mean over seeds of the sweep's metric


def has_finished(path: Path) -> bool:
    """Whether a directory has a finished run."""
    return (path / "config.json").exists() and is_finished(RunDirectory.open(path))


def state_of(sweep: SweepDirectory, run_id: str, states: dict[str, State], is_swept: bool) -> str:
    """How a run stands; one that was running when its sweep was killed is stopped."""
    if has_finished(sweep.run_dir(run_id)):
        return "finished"
    state = states.get(run_id, "waiting")
    return "stopped" if state == "running" and not is_swept else state


def score_of(metric: Metric, report: dict[str, Any]) -> float | None:
    """What a metatest.json says of a metric; None where adaptation diverged."""
    means = report[metric.score]["mean"]
    if metric.iteration is not None:
        return means[metric.iteration] if metric.iteration < len(means) else None
    return max((mean for mean in means if mean is not None), default=None)


def score_of_run(path: Path, metric: Metric) -> float | None:
    """Mean over the members of a finished run; None where one diverged."""
    members = RunDirectory.open(path).members()
    return mean_or_none([score_of(metric, report_of(member.path)) for member in members])


def members_of(run: RunDirectory) -> dict[str, list[RunDirectory]]:
    """A run's members, one per seed, by the id of their setting."""
    found: dict[str, list[RunDirectory]] = {}
    for member in run.members():
        found.setdefault(settings_id(member.config), []).append(member)
    return found


def report_of(path: Path) -> dict[str, Any]:
    return read_result(path / "metatest.json", Scored)


def columns_of(metric: Metric) -> list[Metric]:
    """The scores in a table: at the metric's iteration, and the best of all."""
    at = USUAL_ITERATION if metric.iteration is None else metric.iteration
    return [Metric(score, i) for i in (at, None) for score in get_args(Score)]


def read_results(sweep: SweepDirectory) -> list[Result]:
    """Every seed of every finished run, in the manifest's order."""
    results = []
    for run_id, entries in itertools.groupby(sweep.entries(), lambda entry: entry.id):
        path = sweep.run_dir(run_id)
        if not has_finished(path):
            continue
        members = members_of(RunDirectory.open(path))
        for entry in entries:
            for member in members_of_entry(members, entry, path):
                report = report_of(member.path)
                scores = {str(m): score_of(m, report) for m in columns_of(sweep.spec.metric)}
                results.append(Result(entry, member.config.seed, scores, minutes([member.path])))
    return results


def members_of_entry(
    members: Mapping[str, Sequence[RunDirectory]], entry: Entry, path: Path
) -> Sequence[RunDirectory]:
    """Those of a setting, one per seed in the manifest's order.

    Raises:
      UsageError: the run in ``path`` has others.
    """
    found = {member.config.seed: member for member in members.get(entry.settings_id, [])}
    for seed in entry.seeds:
        if seed not in found:
            raise UsageError(f"{path}: is no run of seed {seed} and settings as in manifest.jsonl")
    return [found[seed] for seed in entry.seeds]


def write_results(path: Path, spec: SweepSpec, results: Sequence[Result]) -> None:
    """One line per seed."""
    metrics = columns_of(spec.metric)
    titles = [str(metric).replace("@", "_") for metric in metrics]
    rows = []
    for result in results:
        varied = [result.entry.fields[name] for name in spec.fields]
        numbers = [*(result.scores[str(metric)] for metric in metrics), result.minutes]
        short = [None if x is None else round(x, 4) for x in numbers]
        rows.append([result.entry.id, *varied, result.seed, *short])
    write_rows(path, ["id", *spec.fields, "seed", *titles, "minutes"], rows)


def ranking(spec: SweepSpec, results: Sequence[Result]) -> list[Ranked]:
    """Settings by their mean over seeds; those that lack a seed or a score come last."""
    by_setting: dict[str, list[Result]] = {}
    for result in results:
        by_setting.setdefault(result.entry.settings_id, []).append(result)
    ranked = [
        Ranked(found[0].entry.fields, found, mean_score(found, str(spec.metric)))
        for found in by_setting.values()
    ]
    complete = lambda r: r.score is not None and len(r.results) == len(spec.seeds)  # noqa: E731
    value = lambda r: -math.inf if r.score is None else r.score  # noqa: E731
    return sorted(ranked, key=lambda r: (complete(r), value(r)), reverse=True)


def mean_score(results: Sequence[Result], metric: str) -> float | None:
    """Over seeds; None where one diverged."""
    return mean_or_none([result.scores[metric] for result in results])


def mean_or_none(values: Sequence[float | None]) -> float | None:
    """None where one of them is."""
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def print_ranking(console: Console, spec: SweepSpec, ranked: Sequence[Ranked]) -> None:
    """The best settings, without scores that no run has."""
    has = lambda m: any(r.scores[str(m)] is not None for x in ranked for r in x.results)  # noqa: E731
    metrics = [m for m in columns_of(spec.metric) if m == spec.metric or has(m)]
    table = Table(title=f"Best settings by {spec.metric}, mean over seeds, held-out tasks")
    shown = map(show_name, spec.fields)
    for title in (*shown, "seeds", *map(str, metrics), f"{spec.metric}\nof seeds"):
        table.add_column(title, justify="right", overflow="fold")
    for setting in ranked[:SHOWN]:
        means = [mean_score(setting.results, str(metric)) for metric in metrics]
        of_seeds = [result.scores[str(spec.metric)] for result in setting.results]
        table.add_row(
            *(show_value(setting.fields[name]) for name in spec.fields),
            f"{len(setting.results)}/{len(spec.seeds)}",
            *(show_score(metric.score, mean) for metric, mean in zip(metrics, means, strict=True)),
            " ".join(show_score(spec.metric.score, score) for score in of_seeds),
        )
    console.print(table)


def show_name(name: str) -> str:
    """A field's name on a line per part: tables are wide."""
    return name.replace(".", ".\n")


def show_value(value: Any) -> str:
    """A field's value, short."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def show_score(score: Score, value: float | None) -> str:
    """A mean return or success, short."""
    if value is None:
        return "diverged"
    return f"{value:.2f}" if score == "success" else f"{value:.1f}"
