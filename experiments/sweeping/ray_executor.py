"""Runs of a sweep as tasks of Ray, on this machine or a cluster."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import commands
from errors import UsageError
from explorax.config import require
from extras import import_extra
from sweeping.executors import Executor, Job, Outcome, run_jobs

POLL_S = 0.5
CONNECTS_S = 10.0


class Shares(NamedTuple):
    """What every run is given, and how many may run at the same time."""

    cpus: int
    gpus: int
    most: int


class RayTask:
    """One job."""

    def __init__(self, ray: Any, task: Any, log: Path):
        self._ray, self._task, self._log = ray, task, log

    def poll(self) -> Outcome | None:
        """What came of it; 1 where its worker or machine died, which the log then says."""
        ended, _ = self._ray.wait([self._task], timeout=0)
        if not ended:
            return None
        try:
            return self._ray.get(self._task)
        except self._ray.exceptions.TaskCancelledError:  # before it began
            return "stopped"
        except self._ray.exceptions.RayError as error:
            with self._log.open("a", encoding="utf-8") as log:
                log.write(f"Ray: {error}\n")
            return 1

    def tell(self, number: signal.Signals) -> None:
        """Ray interrupts the worker, which tells the command; what waits is taken back."""
        self._ray.cancel(self._task)


@contextlib.contextmanager
def ray_executor(
    address: str | None, jobs: int | None, cpus: int | None, gpus: int | None
) -> Iterator[Executor]:
    """An executor on a cluster, or on one of this machine alone that ends with the sweep.

    Args:
      address: the cluster's; without, $RAY_ADDRESS, and without that a cluster is started.
      jobs: the most runs at the same time; as many as there is room for if not given.
      cpus: for each run; see ``shares``.
      gpus: for each run; see ``shares``.

    Raises:
      UsageError: Ray is not installed, or nothing answers there.
      ValueError: a cluster of this machine alone has less than a run needs.
    """
    ray, address = import_extra("ray", "ray"), address or os.environ.get("RAY_ADDRESS")
    _connect(ray, address or "local")
    try:
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        each = shares(machines, jobs, cpus, gpus)
        if address is None:
            _check_room(machines[0], each)
        ray.cloudpickle.register_pickle_by_value(commands)
        # A run that failed is started again by the sweep, which then has it go on.
        remote = ray.remote(num_cpus=each.cpus, num_gpus=each.gpus, max_retries=0)
        attend = remote(commands.attend)

        def start(job: Job) -> RayTask:
            log = str(job.log.absolute())
            task = attend.options(name=job.name).remote(job.command, log, os.getcwd())
            return RayTask(ray, task, job.log)

        yield partial(run_jobs, start=start, most=each.most, poll_s=POLL_S)
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    _check_answers(address)
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split()).rstrip(".")
        hint = "a cluster with a token needs RAY_AUTH_MODE=token"
        raise UsageError(f"ray_address: {address}: {said} ({hint})") from error
    finally:
        signal.signal(signal.SIGTERM, before)  # Ray takes it


def _check_answers(address: str) -> None:
    """Ray would try for a quarter of an hour. What has no port it looks up itself."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    require(port.isdecimal(), "ray_address", f"must be HOST:PORT or auto; got {address}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECTS_S).close()
    except OSError as error:
        raise UsageError(f"ray_address: {address}: {error.strerror or error}") from error


def shares(
    machines: Sequence[Mapping[str, float]], jobs: int | None, cpus: int | None, gpus: int | None
) -> Shares:
    """How a cluster is divided.

    Args:
      machines: the CPUs and GPUs of each.
      jobs: the most runs at the same time; as many as there is room for if not given.
      cpus: for each run; if not given 1 beside a GPU, else those of a machine, or the cluster's by
        ``jobs`` if that is less.
      gpus: for each run; 1 if the cluster has any, and it is not given.
    """
    total = {kind: int(sum(m.get(kind, 0) for m in machines)) for kind in ("CPU", "GPU")}
    if gpus is None:
        gpus = min(1, total["GPU"])
    if cpus is None:
        smallest = min((int(m["CPU"]) for m in machines if m.get("CPU")), default=1)
        cpus = 1 if gpus else max(1, min(smallest, total["CPU"] // (jobs or 1)))
    room = total["CPU"] // cpus
    if gpus:
        room = min(room, total["GPU"] // gpus)
    return Shares(cpus, gpus, jobs or max(1, room))


def _check_room(machine: Mapping[str, float], each: Shares) -> None:
    """Ray would wait for ever for what there is not."""
    for name, kind, asked in (("cpus", "CPU", each.cpus), ("gpus", "GPU", each.gpus)):
        has = int(machine.get(kind, 0))
        require(asked <= has, f"{name}_per_run", f"must be at most {has} here; got {asked}")
