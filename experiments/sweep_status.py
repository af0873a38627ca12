"""Shows how the runs of a sweep stand: ``python experiments/sweep_status.py --spec SPEC.yaml``.

On a terminal it is shown anew until the sweep ends, elsewhere once.
Exit codes: 0 done, 2 wrong flags or paths, 130 interrupted.
"""

import itertools
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from cli import parse, run_main
from consoles import wide_console
from errors import INTERRUPTED, UsageError
from explorax.config import require
from explorax.sinks.jsonl import parse_line
from run_directory import RunDirectory
from sweeping.directory import SweepDirectory, usual_path
from sweeping.results import (
    members_of,
    members_of_entry,
    report_of,
    score_of,
    show_name,
    show_score,
    show_value,
    state_of,
)
from sweeping.spec import Metric

EVERY_S = 2.0
TAIL = 8192
"""Bytes in which the last line of metrics.jsonl is looked for."""


@dataclass(frozen=True)
class StatusConfig:
    """Show how the runs of a sweep stand."""

    spec: Path | None = None
    """The sweep's YAML file."""
    sweep_dir: Path | None = None
    """The sweep's directory; runs/sweeps/NAME of its spec if not given."""

    def __post_init__(self):
        given = self.spec is not None or self.sweep_dir is not None
        require(given, "spec", "or sweep_dir has to be given")

    @property
    def path(self) -> Path:
        """Where the sweep is kept."""
        if self.sweep_dir is not None:
            return self.sweep_dir
        assert self.spec is not None
        return usual_path(self.spec)


def main(argv: Sequence[str]) -> int:
    """Shows the sweep that the flags name."""
    sweep, console = SweepDirectory.open(parse(StatusConfig, argv).path), Console()
    if not sys.stdout.isatty():
        wide_console().print(status_table(sweep))
        return 0
    try:
        with Live(status_table(sweep), console=console, auto_refresh=False) as live:
            while sweep.is_swept():
                time.sleep(EVERY_S)
                live.update(status_table(sweep), refresh=True)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def status_table(sweep: SweepDirectory) -> Table:
    """A line per run and seed."""
    rows, states, is_swept = [], sweep.states(), sweep.is_swept()
    for run_id, entries in itertools.groupby(sweep.entries(), lambda entry: entry.id):
        state, path = state_of(sweep, run_id, states, is_swept), sweep.run_dir(run_id)
        has_begun = (path / "config.json").exists()
        members = members_of(RunDirectory.open(path)) if has_begun else {}
        for entry in entries:
            fields = [show_value(entry.fields[name]) for name in sweep.spec.fields]
            its = members_of_entry(members, entry, path) if has_begun else [None] * len(entry.seeds)
            for seed, member in zip(entry.seeds, its, strict=True):
                about = [state, entry.settings_id, str(seed)]
                rows.append([*about, *fields, *_progress(sweep.spec.metric, member, state)])
    counts = {state: sum(row[0] == state for row in rows) for state in COLOURS}
    shown = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    about = "going on" if is_swept else "not going on"
    table = Table(title=f"{sweep.path}, {about}: {shown or 'no runs yet'}")
    names = [*map(show_name, sweep.spec.fields), "iteration", "return\npost"]
    for name in ("state", "settings", "seed", *names, f"meta-test\n{sweep.spec.metric}"):
        table.add_column(name, justify="left" if name == "state" else "right", overflow="fold")
    for state, *cells in rows:
        table.add_row(f"[{COLOURS[state]}]{state}[/]", *cells)
    return table


COLOURS = {
    "finished": "green",
    "running": "cyan",
    "waiting": "dim",
    "stopped": "yellow",
    "failed": "red",
}
"""Colours of the states that a run may be in."""


def _progress(metric: Metric, member: RunDirectory | None, state: str) -> list[str]:
    """Iterations done and asked for, the last return of training, and that of the test."""
    if member is None:
        return ["", "", ""]
    last = last_metrics(member.metrics)
    total = member.config.train.num_iterations
    post = last.get("return_post")
    tested = state == "finished"
    score = show_score(metric.score, score_of(metric, report_of(member.path))) if tested else ""
    done = last.get("meta_iteration", 0)
    return [f"{done}/{total}", "" if post is None else f"{post:.1f}", score]


def last_metrics(file: Path) -> dict[str, Any]:
    """The last whole line of metrics.jsonl; nothing where there is none."""
    if not file.exists():
        return {}
    with file.open("rb") as lines:
        size = lines.seek(0, 2)
        lines.seek(max(0, size - TAIL))
        whole = lines.read().decode(errors="replace").split("\n")[:-1]
    try:
        return parse_line(whole[-1]) if whole else {}
    except ValueError as error:
        raise UsageError(f"{file}: its last line is not one of metrics ({error})") from error


if __name__ == "__main__":
    sys.exit(run_main(main))
