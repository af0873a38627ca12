"""One run, several processes: how one finds the others, and how all of them end."""

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

from cli import run_main
from errors import RunError, UsageError
from runtime import quiet_xla

WHERE, HOW_MANY, WHICH = (
    f"JAX_{name}" for name in ("COORDINATOR_ADDRESS", "NUM_PROCESSES", "PROCESS_ID")
)
LEAVE_S = 30
"""Seconds after which a process that is through waits for the others no longer."""
GRACE_S = 2
"""Seconds in which others that fail likewise may say so: jax ends them with the first."""


@contextlib.contextmanager
def in_step() -> Iterator[None]:
    """Joins the processes of a run; none leaves before all are through with what is done here.

    A process that fails says why and exits at once: through jax it would wait for the others, and
    they for it. In the others the collectives then fail, or jax ends them.

    Raises:
      UsageError: the environment does not say which process this is, or the others are not there.
    """
    _join()
    import jax

    from explorax.parallel import wait_for_all

    try:
        yield
        wait_for_all()
    except BaseException as error:
        code = _said(error)
        sys.stdout.flush()
        sys.stderr.flush()
        if jax.process_index() == 0:
            time.sleep(GRACE_S)
        os._exit(code)


def _join() -> None:
    quiet_xla()
    import jax

    given = _given()
    try:
        jax.distributed.initialize(**given, shutdown_timeout_seconds=LEAVE_S)
    except ValueError as error:  # jax has found nothing
        raise UsageError(
            f"distributed: neither SLURM nor Open MPI, nor ${WHERE}, ${HOW_MANY} and ${WHICH} say "
            "which process this is"
        ) from error
    except RuntimeError as error:
        raise UsageError(f"distributed: {' '.join(str(error).split())[:300]}") from error


def _given() -> dict[str, Any]:
    """Arguments from the variables (jax itself reads one of them); none where jax detects all."""
    values = [os.environ.get(name) for name in (WHERE, HOW_MANY, WHICH)]
    if not any(values):
        return {}
    address, count, number = values
    try:
        host, _, port = str(address).rpartition(":")
        ok = bool(host) and port.isdigit() and 0 <= int(str(number)) < int(str(count))
    except ValueError:
        ok = False
    if not ok:
        raise UsageError(
            f"distributed: ${WHERE} must be HOST:PORT, ${HOW_MANY} a number and ${WHICH} one from "
            f"0 to below it; got {', '.join(map(str, values))}"
        )
    return {
        "coordinator_address": address,
        "num_processes": int(str(count)),
        "process_id": int(str(number)),
        "cluster_detection_method": "deactivate",
    }


def _said(error: BaseException) -> int:
    """Reports an error as a single process would; returns the exit code."""

    def again(_: Sequence[str]) -> int:
        if isinstance(error, Exception) and _is_loss(error):
            raise RunError(
                "another process of the run has ended, or cannot be reached; --resume continues "
                "from the last checkpoint"
            )
        raise error

    try:
        return run_main(again, ())
    except KeyboardInterrupt:
        return 130
    except BaseException:
        traceback.print_exc()
        return 1


def _is_loss(error: Exception) -> bool:
    """Whether a collective has lost a process; jax has no exception of its own for that."""
    return any(library in str(error) for library in ("Gloo", "NCCL"))
