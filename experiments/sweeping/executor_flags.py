"""The flags that say where the runs of a sweep run, and the executor that they ask for."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from errors import UsageError
from explorax.config import require
from sweeping.executors import Executor
from sweeping.local_executor import local_executor
from sweeping.ray_executor import ray_executor
from sweeping.slurm_executor import slurm_executor

Where = Literal["local", "ray", "slurm", "slurm-local"]

SLURM_JOBS = 8
"""Jobs that wait or run at the same time, where nothing is said."""
SLURM_TIME = 240
"""Minutes of each job, where nothing is said."""


@dataclass(frozen=True, kw_only=True)
class ExecutorConfig:
    """Where runs run, and how many at a time."""

    executor: Where = "local"
    """local: processes of this machine. ray: tasks of Ray, on this machine or a cluster. slurm:
    jobs of SLURM, by submitit. slurm-local: submitit's processes of this machine, to try it without
    SLURM. All machines of a cluster need this directory, the sweep's and the Python environment
    under the same paths, on a file system that they share."""
    jobs: int | None = None
    """Runs at the same time. Without it, local: one per GPU, or one where there is none; ray: as
    many as there is room for; slurm: 8, those that wait included; slurm-local: one."""
    cpus_per_run: int | None = None
    """CPUs that Ray or SLURM gives each run. Without it, ray: 1 beside a GPU, else those of a
    machine, or the cluster's divided by jobs; slurm: what the partition gives."""
    gpus_per_run: int | None = None
    """GPUs that Ray or SLURM gives each run. Without it, ray: 1 if the cluster has any; slurm: what
    the partition gives."""
    ray_address: str | None = None
    """A running Ray cluster, HOST:PORT or auto. Without it $RAY_ADDRESS, and without that Ray is
    started on this machine and ends with the sweep."""
    slurm_partition: str | None = None
    """The SLURM partition; the cluster's default if not given."""
    slurm_time: int | None = None
    """Minutes that SLURM gives each job, 240 if not given. A run that takes longer is told before
    they are over, saves, and goes on in another job."""

    def __post_init__(self):
        require(self.jobs is None or 1 <= self.jobs <= 1024, "jobs", "must be in 1..1024")
        for name, lowest in (("cpus_per_run", 1), ("gpus_per_run", 0), ("slurm_time", 1)):
            value = getattr(self, name)
            require(value is None or value >= lowest, name, f"must be at least {lowest}")
        for name in ("ray_address", "slurm_partition"):
            require(getattr(self, name) != "", name, "must not be empty")
        for name, executors in MEANT_FOR.items():
            given, meant = getattr(self, name) is not None, self.executor in executors
            require(meant or not given, name, f"is for executor {' or '.join(executors)} only")


MEANT_FOR: dict[str, tuple[Where, ...]] = {
    "cpus_per_run": ("ray", "slurm"),
    "gpus_per_run": ("ray", "slurm", "slurm-local"),
    "ray_address": ("ray",),
    "slurm_partition": ("slurm",),
    "slurm_time": ("slurm", "slurm-local"),
}
"""Flags that say nothing to the other executors."""


@contextlib.contextmanager
def executor_of(asked: ExecutorConfig, sweep_dir: Path) -> Iterator[Executor]:
    """The executor that the flags ask for, which may have a cluster of its own in the meantime.

    Raises:
      UsageError: it cannot be had, or not so.
    """
    with contextlib.ExitStack() as stack:
        try:
            executor = _executor(asked, sweep_dir, stack)
        except ValueError as error:
            raise UsageError(str(error)) from error
        yield executor


def _executor(asked: ExecutorConfig, sweep_dir: Path, stack: contextlib.ExitStack) -> Executor:
    jobs, cpus, gpus = asked.jobs, asked.cpus_per_run, asked.gpus_per_run
    if asked.executor == "local":
        return local_executor(jobs)
    if asked.executor == "ray":
        return stack.enter_context(ray_executor(asked.ray_address, jobs, cpus, gpus))
    on_slurm = asked.executor == "slurm"
    return slurm_executor(
        "slurm" if on_slurm else "local",
        sweep_dir / "slurm",
        jobs or (SLURM_JOBS if on_slurm else 1),
        asked.slurm_time or SLURM_TIME,
        cpus_per_task=cpus,
        gpus_per_node=gpus,
        slurm_partition=asked.slurm_partition,
    )
