"""Runs of a sweep as jobs of SLURM, by submitit; or of submitit's processes of this machine.

SLURM tells a job that its time is up, or that it is preempted. Its run saves and ends, and is
submitted again as another job, with the command that has it go on; SLURM itself starts none again.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import commands
from errors import UsageError
from extras import import_extra
from sweeping.executors import Executor, Job, Outcome, run_jobs

POLL_S = 1.0
SAVES_S = 300
"""Seconds before a job's time is up at which it is told so."""

Cluster = Literal["slurm", "local"]


class SlurmJob:
    """One job."""

    def __init__(self, submitit: Any, submitted: Any, tell: Callable[[str], None], log: Path):
        self._errors = submitit.core.utils.UncompletedJobError
        self._submitted, self._tell, self._log = submitted, tell, log
        self._told = False

    def poll(self) -> Outcome | None:
        """What came of it; 1 where it was killed, which the log then says."""
        job = self._submitted
        if not job.done():
            # To submitit it still waits, for SLURM to start it again.
            return "preempted" if job.state.startswith("PREEMPTED") else None
        if self._told and not job.paths.result_pickle.exists():  # it never began
            return "stopped"
        try:
            return job.result()
        except self._errors as error:
            with self._log.open("a", encoding="utf-8") as log:
                log.write(f"submitit: {error}\n")
            return 1

    def tell(self, number: signal.Signals) -> None:
        """Tells it once, whatever it is told: the command gets SIGTERM."""
        if not self._told:
            self._told = True
            self._tell(self._submitted.job_id)


def slurm_executor(
    cluster: Cluster, folder: Path, jobs: int, time_min: int, **asked: Any
) -> Executor:
    """An executor by submitit.

    Args:
      cluster: ``local`` for processes of this machine.
      folder: takes submitit's files, once there is a job.
      jobs: the most jobs that wait or run at the same time.
      time_min: minutes after which a job is ended.
      asked: more parameters of ``submitit.AutoExecutor``; None is not asked for.

    Raises:
      UsageError: submitit is not installed, or SLURM.
    """
    os.environ.setdefault("SUBMITIT_LOG_LEVEL", "NOCONFIG")  # it closes what others log to
    submitit = import_extra("submitit", "slurm")
    if cluster == "slurm" and not (shutil.which("sbatch") and shutil.which("srun")):
        raise UsageError("executor: slurm needs sbatch and srun, which are not here")
    import_extra("cloudpickle", "slurm").register_pickle_by_value(commands)
    parameters = asked | {
        "timeout_min": time_min,
        "stderr_to_stdout": True,
        "slurm_signal_delay_s": min(SAVES_S, 60 * time_min // 4),
        "slurm_additional_parameters": {"no_requeue": True},
    }

    def start(job: Job) -> SlurmJob:
        executor = submitit.AutoExecutor(folder, cluster=cluster)
        executor.update_parameters(name=job.name, **parameters)
        with _submitting(submitit):
            submitted = executor.submit(
                commands.attend, job.command, str(job.log.absolute()), os.getcwd()
            )
        return SlurmJob(submitit, submitted, TELL[cluster], job.log)

    return partial(run_jobs, start=start, most=jobs, poll_s=POLL_S)


@contextlib.contextmanager
def _submitting(submitit: Any) -> Iterator[None]:
    """A job knows nothing of one that submits it, nor of the Ctrl-C of a terminal.

    Raises:
      UsageError: SLURM does not take the job.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        with submitit.helpers.clean_env():
            yield
    except submitit.core.utils.FailedJobError as error:
        raise UsageError(f"executor: slurm: {' '.join(str(error).split())}") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _tell_slurm(job_id: str) -> None:
    """Takes back a job that waits; one that runs is not killed, however long it saves."""
    for how in ("--state=PENDING", "--signal=TERM"):
        subprocess.run(["scancel", how, job_id], stderr=subprocess.DEVNULL, check=False)


def _tell_local(job_id: str) -> None:
    """The id is that of submitit's process, which passes it on."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(job_id), signal.SIGTERM)


TELL: dict[Cluster, Callable[[str], None]] = {"slurm": _tell_slurm, "local": _tell_local}
"""How a job is told to save and stop."""
