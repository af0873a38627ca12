"""What a run's directory ends with, as its logs take it."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from config import SkillsRunConfig
from explorax.checkpoint import Checkpoints
from explorax.sinks import Results, read_jsonl
from run_directory import RunDirectory

Row = dict[str, float | None]


def results_of(run: RunDirectory, member: RunDirectory) -> Results:
    """The test and the pictures of one seed; with the first, the checkpoint of all.

    Args:
      run: that is finished and tested.
      member: the run of the seed.
    """
    scores, tables = (_skills if isinstance(run.config, SkillsRunConfig) else _metatest)(member)
    wanted = run.config.wandb.checkpoint and member == run.members()[0]
    return Results(
        counters=_counters(member),
        scores=scores,
        tables=tables,
        pictures=_pictures(member),
        checkpoint=_last_checkpoint(run) if wanted else None,
    )


def curve_rows(report: Mapping[str, Any]) -> list[Row]:
    """The curve of metatest.json: a row per meta-test iteration."""
    columns: dict[str, Sequence[float | None]] = {
        f"{name}_{part}": report[name][part]
        for name in ("return", "success")
        for part in ("mean", "low", "high")
    }
    rows = zip(*columns.values(), strict=True)
    return [{"iteration": i, **dict(zip(columns, row, strict=True))} for i, row in enumerate(rows)]


def _metatest(run: RunDirectory) -> tuple[Row, dict[str, list[Row]]]:
    """Scores after the last iteration, and the curve."""
    rows = curve_rows(json.loads((run.path / "metatest.json").read_text(encoding="utf-8")))
    scores = {f"metatest/{name}": rows[-1][f"{name}_mean"] for name in ("return", "success")}
    return scores, {"metatest/curve": rows}


def _skills(run: RunDirectory) -> tuple[Row, dict[str, list[Row]]]:
    """Scores of the best skills, and a row per skill."""
    report = json.loads((run.path / "skills.json").read_text(encoding="utf-8"))
    scores = {
        f"skills/{choice}/{name}": report["zero_shot"][choice][name]["mean"]
        for choice in ("best_on_average", "best_per_task")
        for name in ("return", "success")
    }
    scores |= {f"skills/{name}": report[name] for name in ("distinct_skills", "information_last")}
    with (run.path / "skills.csv").open(newline="", encoding="utf-8") as file:
        rows: list[Row] = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    return scores, {"skills/table": rows}


def _counters(run: RunDirectory) -> dict[str, float]:
    """How far it was trained."""
    records = read_jsonl(run.metrics) if run.metrics.exists() else []
    last = records[-1] if records else {}
    return {name: last.get(name, 0) for name in ("meta_iteration", "env_steps")}


def _pictures(run: RunDirectory) -> dict[str, Path]:
    """By their names, those that move apart."""
    kinds = {"png": "pictures", "gif": "animations"}
    return {
        f"{kind}/{path.stem}": path
        for suffix, kind in kinds.items()
        for path in sorted(run.path.glob(f"*.{suffix}"))
    }


def _last_checkpoint(run: RunDirectory) -> Path:
    with Checkpoints(run.checkpoints, read_only=True) as checkpoints:
        return run.checkpoints / str(checkpoints.steps()[-1])
