"""What the user can do something about."""

INTERRUPTED = 130
"""The exit code after Ctrl-C."""


class UsageError(Exception):
    """One line that names the flag, field or path that is wrong; the exit code is 2."""


class RunError(Exception):
    """One line that says why a run could not go on; the exit code is 1."""
