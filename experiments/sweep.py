"""Trains the runs of a sweep and compares them: ``python experiments/sweep.py SPEC.yaml``.

The same command goes on where a sweep was stopped: finished runs are left alone, begun ones
continue from their checkpoints, failed ones are tried again; but those of tpe, which has heard of
them.
Exit codes: 0 done, 1 a run failed, 2 wrong spec, flags or paths, 128 + n stopped by signal n.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from cli import parse, run_main
from consoles import wide_console
from errors import UsageError
from skill_sources import prepare
from sweeping.directory import SweepDirectory, usual_path
from sweeping.executor_flags import ExecutorConfig, executor_of
from sweeping.queue import SweepQueue
from sweeping.results import print_ranking, ranking, read_results, state_of, write_results
from sweeping.search import search_of
from sweeping.settings import SweepRun, first_runs
from sweeping.spec import SweepSpec, read_spec


@dataclass(frozen=True)
class SweepConfig(ExecutorConfig):
    """Train what a sweep lacks, one process per run, and draw what came of it."""

    spec: tyro.conf.Positional[Path]
    """The YAML file that says what is varied; see experiments/sweeps."""
    sweep_dir: Path | None = None
    """Where the sweep is kept; runs/sweeps/NAME of its spec if not given."""

    @property
    def path(self) -> Path:
        """Where the sweep is kept."""
        return self.sweep_dir or usual_path(self.spec)


def main(argv: Sequence[str]) -> int:
    """Runs the sweep that the flags name."""
    asked = parse(SweepConfig, argv)
    sweep = SweepDirectory(asked.path, read_spec(asked.spec))
    runs = _known_runs(asked.spec, sweep.spec)
    if runs[0].config.vary and not sweep.path.exists():
        check_vmap(asked.spec, runs[0])
    with executor_of(asked, sweep.path) as execute, sweep.begin():
        for run in runs:
            prepare(run.config)  # skills that several runs need are discovered once, before them
        queue = SweepQueue(sweep, search_of(sweep.spec, sweep.journal))
        stopped = execute(queue.next_job, queue.on_done)
    if stopped is not None:
        print(
            f"stopped by {stopped.name}; the same command goes on: "
            f"python experiments/sweep.py {shlex.join(argv)}",
            file=sys.stderr,
        )
        return 128 + stopped
    _report(sweep)
    # tpe's were perhaps given up by an earlier sweep: it asks for none twice
    states = sweep.states()
    failed = [name for name in states if state_of(sweep, name, states, False) == "failed"]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _known_runs(file: Path, spec: SweepSpec) -> list[SweepRun]:
    """The runs that are known so far, none of them refused."""
    try:
        return first_runs(spec)
    except ValueError as error:
        raise UsageError(f"{file}: {error}") from error


def check_vmap(file: Path, run: SweepRun) -> None:
    """Raises UsageError for a field of ``vmap`` that cannot differ within a program.

    A process of its own finds out, on a CPU: jax would take the devices from the runs.
    """
    script = str(Path(__file__).with_name("traceable.py"))
    command = [sys.executable, script, *run.to_json()[0]["flags"]]
    variables = {**os.environ, "JAX_PLATFORMS": "cpu"}
    asked = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    *_, said = ["", *asked.stderr.splitlines()]
    if said.startswith("error: vary: "):
        raise UsageError(f"{file}: {said.replace('error: vary', 'vmap')}")


def _report(sweep: SweepDirectory) -> None:
    """Writes, draws and prints what the finished runs came to."""
    from sweeping.picture import draw  # takes seconds to import

    results = read_results(sweep)
    ranked = ranking(sweep.spec, results)
    table, picture = sweep.path / "results.csv", sweep.path / "sweep.png"
    write_results(table, sweep.spec, results)
    files = [table]
    if draw(picture, sweep.spec, results, ranked):
        files.append(picture)
    print_ranking(wide_console(), sweep.spec, ranked)
    print("\n".join(map(str, files)))


if __name__ == "__main__":
    sys.exit(run_main(main))
