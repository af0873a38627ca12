"""What the user can do something about."""


class UsageError(Exception):
    """One line that names the flag, field or path that is wrong; the exit code is 2."""


class RunError(Exception):
    """One line that says why a run could not go on; the exit code is 1."""
