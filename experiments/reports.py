"""What the reports of all kinds of runs have in common."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from scipy import stats

from config_json import settings_id
from explorax.sinks import finite_or_none, read_jsonl
from run_directory import RunDirectory

INTERVAL = "95%, percentile bootstrap over tasks"
"""What the intervals of ``summarise`` are."""


def about(run: RunDirectory, meta_iteration: int) -> dict[str, Any]:
    """Identifies the run that a report is about."""
    return {
        "run_id": run.run_id,
        "preset": run.config.preset,
        "env": run.config.env.name,
        "seed": run.config.seed,
        "settings_id": settings_id(run.config),
        "meta_iteration": meta_iteration,
    }


def title(run: RunDirectory) -> str:
    """The title of a run's pictures."""
    of_setting = f", {run.setting}" if run.setting else ""
    return f"{run.config.preset}{of_setting}, seed {run.config.seed}"


def summarise(values: Any) -> dict[str, list[float | None]]:
    """Mean over tasks (axis 0 of N, S) and its 95% bootstrap interval; one task has none."""
    values = np.asarray(values, np.float64)
    mean = np.mean(values, axis=0)
    if len(values) < 2:
        nothing: list[float | None] = [None] * values.shape[1]
        return {"mean": [finite_or_none(x) for x in mean], "low": nothing, "high": nothing}
    interval: Any = stats.bootstrap(
        (values,),
        np.mean,
        axis=0,
        n_resamples=2000,
        batch=100,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    columns = {"mean": mean, "low": interval.low, "high": interval.high}
    return {name: [finite_or_none(x) for x in column] for name, column in columns.items()}


@contextlib.contextmanager
def waiting(console: Console, what: str) -> Iterator[None]:
    """Says what takes a while, then how long it took."""
    start = time.monotonic()
    if console.is_terminal:
        with console.status(f"{what}…"):
            yield
    else:
        console.print(f"{what}…")
        yield
    console.print(f"{what} took {time.monotonic() - start:.1f} s", highlight=False)


def draw_training(run: RunDirectory, curves: Callable[..., None]) -> list[Path]:
    """training.png, where there was training; ``curves`` draws metrics into it."""
    records = read_jsonl(run.metrics) if run.metrics.exists() else []
    if not records:
        return []
    path = run.path / "training.png"
    curves(path, records, title=title(run))
    return [path]


def files_of(run: RunDirectory) -> list[Path]:
    """What training has left in the run's directory."""
    files = [run.config_file, run.versions, run.checkpoints]
    for member in run.members():
        files += [member.metrics, member.path / "wandb", member.tensorboard]
    return [path for path in files if path.exists()]


def print_files(console: Console, paths: Sequence[Path]) -> None:
    """Prints one path per line."""
    for path in paths:
        console.print(str(path), soft_wrap=True, highlight=False)
