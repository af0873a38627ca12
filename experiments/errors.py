"""What the user can do something about, and how a script ends."""

import signal

INTERRUPTED = 130
"""The exit code after Ctrl-C."""


def code_once_saved(stopped_by: signal.Signals) -> int:
    """The exit code of a run that has saved because of a signal.

    0 where that was all that was asked for, as by a cluster that preempts. It does not say that
    the run is finished: its directory does.
    """
    return INTERRUPTED if stopped_by == signal.SIGINT else 0


class StoppedError(Exception):
    """One line that says what a signal has stopped; the exit code is 128 + n."""

    def __init__(self, message: str, stopped_by: signal.Signals):
        super().__init__(message)
        self.stopped_by = stopped_by


class UsageError(Exception):
    """One line that names the flag, field or path that is wrong; the exit code is 2."""


class RunError(Exception):
    """One line that says why a run could not go on; the exit code is 1."""
