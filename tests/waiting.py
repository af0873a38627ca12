"""Waits for what other processes do."""

import time
from collections.abc import Callable


def wait_until(done: Callable[[], bool], limit_s: float) -> None:
    """Looks again and again; fails after ``limit_s`` seconds."""
    deadline = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)
