"""Starts several processes on this machine that train together."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

LIMIT_S = 300
"""After which processes hang."""


@contextmanager
def started(command: Sequence[object], count: int = 2, devices: int = 1) -> Iterator[list]:
    """Processes of so many CPU devices each, their output read as text; none of them is left.

    One alone is told nothing of others.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=_environment(devices) | (_told(port, count, number) if count > 1 else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def finished(command: Sequence[object], count: int = 2, devices: int = 1) -> list[str]:
    """What processes write to stdout that all end well."""
    with started(command, count, devices) as processes:
        said = [process.communicate(timeout=LIMIT_S) for process in processes]
        assert [process.returncode for process in processes] == [0] * count, said
    return [out for out, _ in said]


def _environment(devices: int) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "OMPI_", "JAX_"))}
    # Packages are where they are for the tests, and a script finds what lies beside it.
    paths = [path for path in sys.path if path and Path(path).is_dir()]
    return kept | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "PYTHONPATH": os.pathsep.join(paths),
    }


def _told(port: int, count: int, number: int) -> dict[str, str]:
    return {
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
        "JAX_NUM_PROCESSES": str(count),
        "JAX_PROCESS_ID": str(number),
    }
