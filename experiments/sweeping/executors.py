"""Runs the commands of a sweep, some at a time.

An executor takes two functions: ``next_job`` gives what to start now, None for nothing at present,
and ``on_done`` is told of each that ended. It returns once there is nothing to start and nothing
runs, or when it was told to stop: then with the signal. Executors differ in how they start a job:
as a process, or by the scheduler of a cluster.
"""

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from commands import received

Outcome = int | Literal["preempted", "stopped"]
"""The exit code, or that it was told to stop and stopped: where it ran, or with the whole sweep.

None of them says that what it does is done: a run that saves when it is told to stop exits with 0.
"""


class Job(NamedTuple):
    """One command to run."""

    name: str
    command: Sequence[str]
    log: Path  # takes all that it prints, after what is there


class Running(Protocol):
    """A job that was started."""

    def poll(self) -> Outcome | None:
        """What came of it; None while it runs, or waits to."""
        ...

    def tell(self, number: signal.Signals) -> None:
        """Has it save and stop."""
        ...


NextJob = Callable[[], Job | None]
OnDone = Callable[[Job, Outcome], None]
Executor = Callable[[NextJob, OnDone], signal.Signals | None]


def run_jobs(
    next_job: NextJob,
    on_done: OnDone,
    start: Callable[[Job], Running],
    most: int,
    poll_s: float,
) -> signal.Signals | None:
    """An executor, but for what it depends on.

    Args:
      next_job: see above.
      on_done: see above.
      start: starts a job.
      most: how many may run at the same time.
      poll_s: seconds from one look at them to the next.
    """
    running: list[tuple[Job, Running]] = []
    told = 0
    with received() as signals:
        try:
            while True:
                while len(running) < most and not signals and (job := next_job()):
                    running.append((job, start(job)))
                for number in signals[told:]:
                    _tell(running, number)
                    told += 1
                if not running:
                    return signals[0] if signals else None
                time.sleep(poll_s)
                for pair in list(running):
                    job, started = pair
                    outcome = started.poll()
                    if outcome is not None:
                        running.remove(pair)
                        on_done(job, "stopped" if signals else outcome)
        finally:
            _tell(running, signal.SIGTERM)


def _tell(running: Sequence[tuple[Job, Running]], number: signal.Signals) -> None:
    # A run knows no SIGHUP: the terminal is gone, not the wish to keep what was learned.
    passed = signal.SIGTERM if number == signal.SIGHUP else number
    for _, started in running:
        started.tell(passed)
