"""Runs of a sweep as processes of this machine."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial

from commands import POLL_S, lock, start
from explorax.config import require
from sweeping.executors import Executor, Job, Outcome, run_jobs


class LocalProcess:
    """One job. It waits until nobody else writes into its log."""

    def __init__(self, job: Job, variables: Mapping[str, str]):
        """``variables``: of its environment, besides this process's."""
        self._job, self._variables = job, variables
        self._child: subprocess.Popen | None = None
        self._told = False
        self.poll()

    def poll(self) -> Outcome | None:
        """The exit code; None while it runs."""
        if self._child is not None:
            return self._child.poll()
        if self._told:
            return "stopped"
        with self._job.log.open("a", encoding="utf-8") as log:
            if lock(log):
                self._child = start(self._job.command, log, self._variables)
        return None

    def tell(self, number: signal.Signals) -> None:
        """Passes a signal on."""
        self._told = True
        if self._child is not None:
            self._child.send_signal(number)


class Places:
    """Where processes run side by side: each place is taken by one at a time."""

    def __init__(self, variables: Sequence[Mapping[str, str]]):
        """``variables``: of the environment, for each place."""
        self._variables = variables
        self._taken: dict[int, LocalProcess] = {}

    def start(self, job: Job) -> LocalProcess:
        """Takes a free place, of which there has to be one."""
        ended = lambda place: place not in self._taken or self._taken[place].poll() is not None  # noqa: E731
        place = next(filter(ended, range(len(self._variables))))
        self._taken[place] = LocalProcess(job, self._variables[place])
        return self._taken[place]


def local_executor(jobs: int | None) -> Executor:
    """An executor of this machine.

    Raises:
      ValueError: as ``local_places``.
    """
    places = local_places(jobs)
    return partial(run_jobs, start=Places(places).start, most=len(places), poll_s=POLL_S)


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
