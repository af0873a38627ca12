"""Where the commands of a sweep run.

An executor takes two functions: ``next_job`` gives what to start now, None for nothing at present,
and ``on_done`` is told of each that ended. It returns once there is nothing to start and nothing
runs, or when it was told to stop: then with the signal. Local processes are one; schedulers of
clusters fit the same two functions.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from explorax.config import require

POLL_S = 0.1


class Job(NamedTuple):
    """One command to run."""

    name: str
    command: Sequence[str]
    log: Path  # takes all that it prints, after what is there


NextJob = Callable[[], Job | None]
OnDone = Callable[[Job, int | None], None]
"""Takes the exit code; None: it was told to stop, and stopped."""
Executor = Callable[[NextJob, OnDone], signal.Signals | None]


def run_local(
    next_job: NextJob,
    on_done: OnDone,
    places: Sequence[Mapping[str, str]] = ({},),
    keep_open: Sequence[int] = (),
) -> signal.Signals | None:
    """Runs jobs as processes of this machine. What this process is told to do, they are told.

    Args:
      next_job: see above.
      on_done: see above.
      places: the environment variables of each process that may run at the same time.
      keep_open: file descriptors that they inherit.
    """
    running: dict[int, tuple[Job, subprocess.Popen]] = {}
    told = 0
    with _received() as signals:
        try:
            while True:
                for place in range(len(places)):
                    if place not in running and not signals and (job := next_job()):
                        running[place] = job, _start(job, places[place], keep_open)
                for number in signals[told:]:
                    _tell([child for _, child in running.values()], number)
                    told += 1
                if not running:
                    return signals[0] if signals else None
                time.sleep(POLL_S)
                for place, (job, child) in list(running.items()):
                    code = child.poll()
                    if code is not None:
                        del running[place]
                        on_done(job, None if signals and code != 0 else code)
        finally:
            for _, child in running.values():
                child.terminate()


def _start(job: Job, variables: Mapping[str, str], keep_open: Sequence[int]) -> subprocess.Popen:
    """A session of its own: what a terminal sends reaches the parent only, and once."""
    with job.log.open("a", encoding="utf-8") as log:
        log.write(" ".join(job.command) + "\n")
        log.flush()
        return subprocess.Popen(
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **variables},
            pass_fds=keep_open,
            start_new_session=True,
        )


def _tell(children: Sequence[subprocess.Popen], number: signal.Signals) -> None:
    # A run knows no SIGHUP: the terminal is gone, not the wish to keep what was learned.
    passed = signal.SIGTERM if number == signal.SIGHUP else number
    for child in children:
        child.send_signal(passed)


@contextlib.contextmanager
def _received() -> Iterator[list[signal.Signals]]:
    """The signals to stop that have come, in place of what they would do."""
    come: list[signal.Signals] = []
    note = lambda number, _: come.append(signal.Signals(number))  # noqa: E731
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield come
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def local_places(jobs: int | None) -> list[dict[str, str]]:
    """The environment variables of processes side by side.

    Args:
      jobs: how many; None: one per GPU, one where there is none.

    Raises:
      ValueError: more are asked for than there are GPUs.
    """
    gpus = local_gpus()
    if not gpus:
        return [{}] * (jobs or 1)
    count = jobs or len(gpus)
    require(count <= len(gpus), "jobs", f"must be at most {len(gpus)}, one per GPU; got {count}")
    return [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus[:count]]


def local_gpus() -> list[str]:
    """The GPUs that jax would use, as in CUDA_VISIBLE_DEVICES. Jax is not started: it would take
    their memory.
    """
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms and not re.search("cuda|gpu", platforms):
        return []
    if not any(importlib.util.find_spec(f"jax_cuda{version}_plugin") for version in (12, 13)):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu.strip() for gpu in visible.split(",") if gpu.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    said = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    return re.findall(r"^GPU (\d+):", said, re.MULTILINE)
