"""A command as a child process: started, told to stop when its parent is, and waited for.

Only of the standard library, since executors send these functions to machines as they are.
"""

import contextlib
import ctypes
import fcntl
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TextIO

POLL_S = 0.1
PR_SET_PDEATHSIG = 1  # of linux/prctl.h


@contextlib.contextmanager
def received() -> Iterator[list[signal.Signals]]:
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


def lock(file: TextIO, how: int = fcntl.LOCK_EX) -> bool:
    """Whether a file is nobody else's: then it is ours until the last process that has it ends."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Whether a process has the file."""
    if not path.exists():
        return False
    with path.open() as file:
        return not lock(file, fcntl.LOCK_SH)


def start(
    command: Sequence[str],
    log: TextIO,
    variables: Mapping[str, str],
    cwd: str | None = None,
    before: Callable[[], object] | None = None,
) -> subprocess.Popen:
    """A session of its own: what a terminal sends reaches the parent only, and once.

    Args:
      command: what to run.
      log: takes all that it prints.
      variables: of its environment, besides this process's.
      cwd: where it runs; here, if not given.
      before: called in the child.
    """
    log.write(" ".join(command) + "\n")
    log.flush()
    return subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **variables},
        start_new_session=True,
        preexec_fn=before,
    )


def attend(command: Sequence[str], log: str, cwd: str) -> int | Literal["preempted"]:
    """Runs a command to its end.

    Args:
      command: what to run.
      log: the file that takes all that it prints. What still writes there is waited for: the
        command of a process that was killed, while it saves.
      cwd: where it runs.

    Returns:
      The exit code, or that this process was told to stop, and so the command was, which may have
      been at its end.
    """
    with received() as signals, open(log, "a", encoding="utf-8") as file:
        while not signals and not lock(file):
            time.sleep(POLL_S)
        if signals:
            return "preempted"
        child = start(command, file, {}, cwd, _told_of_death())
        while not signals and child.poll() is None:
            time.sleep(POLL_S)
        if signals:
            child.terminate()  # only once: what is told again does not wait to save
        code = child.wait()
    return "preempted" if signals else code


def _told_of_death() -> Callable[[], object] | None:
    """Asks the system, in a child, for SIGTERM when its parent is killed; Linux only."""
    if sys.platform != "linux":
        return None
    return functools.partial(ctypes.CDLL(None).prctl, PR_SET_PDEATHSIG, signal.SIGTERM)
