"""What a sweep runs next, and what becomes of the runs that ended."""

import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from child_runs import command_of
from sweeping.directory import SweepDirectory
from sweeping.executors import Job, Outcome
from sweeping.results import has_finished, mean_or_none, score_of_run
from sweeping.search import Search, Trial
from sweeping.settings import SweepRun, runs_of
from sweeping.spec import SEED, SweepSpec

ATTEMPTS = 2
"""How often a run may fail in one sweep."""
LOG_LINES = 8
"""How much of a failed run's log is shown."""


class SweepQueue:
    """Between a search and an executor: trials become runs, and the runs' scores a trial's."""

    def __init__(self, sweep: SweepDirectory, search: Search):
        """Writes what is sure to be run into the manifest."""
        self.sweep, self.search = sweep, search
        self.scores: dict[str, float | None] = {}  # of runs that have ended; None: failed, diverged
        self._pending: deque[SweepRun] = deque()
        self._runs: dict[str, SweepRun] = {}  # all that were asked for
        self._trials: dict[int, Sequence[str]] = {}  # those that were not told yet, and their runs
        self._failures: dict[str, int] = {}
        self._reached: dict[str, int | None] = {}  # checkpoints of runs when they were stopped
        sweep.add([run for trial in search.known() for run in _runs_or_none(sweep.spec, trial)])

    def next_job(self) -> Job | None:
        """A run to start; None: there is none, at least until another has ended.

        Raises:
          UsageError: its directory has another run.
        """
        while True:
            while not self._pending:
                trial = self.search.ask()
                if trial is None:
                    return None
                self._take(trial)
            run = self._pending.popleft()
            command = command_of(run.config, self.sweep.run_dir(run.id))
            if command is not None:
                self._say(run.id, " ".join(["python", *command]))
                self.sweep.set_state(run.id, "running")
                return Job(run.id, [sys.executable, *command], self.sweep.log(run.id))
            self._say(run.id, "is there")
            self._settle(run.id)

    def on_done(self, job: Job, outcome: Outcome) -> None:
        """Takes the score of a finished run, or has one once more that failed or was stopped."""
        name, ended = job.name, outcome in (0, "preempted", "stopped")
        if ended and has_finished(self.sweep.run_dir(name)):
            self._settle(name)
        elif outcome == "stopped":
            self.sweep.set_state(name, "stopped")
        elif ended:
            self._go_on(name, job.log)
        else:
            self._fail(name, f"failed with exit code {outcome}", job.log)

    def _take(self, trial: Trial) -> None:
        """Makes a trial's runs pending, but for those that an earlier trial has too."""
        try:
            runs = runs_of(self.sweep.spec, trial.settings)
        except ValueError as error:
            print(f"trial {trial.number}: {error}", file=sys.stderr)
            self.search.tell(trial.number, None)
            return
        new = [run for run in runs if run.id not in self._runs]
        self._runs |= {run.id: run for run in new}
        self._trials[trial.number] = [run.id for run in runs]
        self.sweep.add(new)
        self._pending.extend(new)
        self._tell_ended()

    def _settle(self, name: str) -> None:
        self.scores[name] = score_of_run(self.sweep.run_dir(name), self.sweep.spec.metric)
        self.sweep.set_state(name, None)
        self._tell_ended()

    def _go_on(self, name: str, log: Path) -> None:
        """Has a stopped run continue from its checkpoint, if it has got further than before."""
        reached = last_checkpoint(self.sweep.run_dir(name))
        if name in self._reached and self._reached[name] == reached:
            self._fail(name, "was stopped twice before it could save anything new", log)
            return
        self._reached[name] = reached
        self._say(name, "was stopped, and goes on")
        self.sweep.set_state(name, "stopped")
        self._pending.append(self._runs[name])

    def _fail(self, name: str, how: str, log: Path) -> None:
        self._failures[name] = self._failures.get(name, 0) + 1
        again = self._failures[name] < ATTEMPTS
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        what = f"{how}{', once more' if again else ''}; {log} ends with:"
        self._say(name, "\n    ".join([what, *lines]))
        self.sweep.set_state(name, "failed")
        if again:
            self._pending.appendleft(self._runs[name])
        else:
            self.scores[name] = None
            self._tell_ended()

    def _tell_ended(self) -> None:
        """Tells the search of every trial whose runs have all ended."""
        for number, names in list(self._trials.items()):
            if all(name in self.scores for name in names):
                del self._trials[number]
                self.search.tell(number, mean_or_none([self.scores[name] for name in names]))

    def _say(self, name: str, what: str) -> None:
        spec = self.sweep.spec
        total = self.search.num_trials * (1 if SEED in spec.vmap else len(spec.seeds))
        print(f"[{len(self.scores)}/{total} done] {name}: {what}", file=sys.stderr)


def _runs_or_none(spec: SweepSpec, trial: Trial) -> list[SweepRun]:
    """A trial's runs; none where a config refuses its setting, which is said once it is begun."""
    try:
        return runs_of(spec, trial.settings)
    except ValueError:
        return []


def last_checkpoint(path: Path) -> int | None:
    """The iteration that a run has saved; None before the first."""
    names = (found.name for found in (path / "checkpoints").glob("*"))
    return max((int(name) for name in names if name.isdigit()), default=None)
