"""Metrics on the screen."""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as RichProgress

from explorax.sinks.kinds import META_RUN, RunKind


class Progress:
    """A bar with the numbers that matter; a plain line now and then where there is no terminal."""

    def __init__(
        self,
        total: int,
        done: int = 0,
        console: Console | None = None,
        every_s: float = 10.0,
        kind: RunKind = META_RUN,
    ):
        """Shows nothing yet.

        Args:
          total: iterations of the run.
          done: of these, by earlier parts of it.
          console: standard error if not given.
          every_s: seconds between plain lines.
          kind: the run's.
        """
        self.kind = kind
        self.console = console or Console(stderr=True)
        self.total, self.start, self.every_s = total, done, every_s
        self._last_line = -math.inf
        self._bar: RichProgress | None = None
        self._task = TaskID(0)

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """A spinner with the time that compilation has taken."""
        start = time.monotonic()
        if not self.console.is_terminal:
            self.console.print("compiling (once)…")
            yield
        else:
            columns = (SpinnerColumn(), TextColumn("compiling (once)…"), TimeElapsedColumn())
            with RichProgress(*columns, console=self.console, transient=True) as spinner:
                spinner.add_task("")
                yield
        self.console.print(f"compiled in {time.monotonic() - start:.1f} s")

    def write(self, metrics: Mapping[str, float]) -> None:
        """Moves the bar."""
        text = f"{self.kind.show(metrics)}  {metrics['steps_per_s']:,.0f} steps/s"
        done = int(metrics["meta_iteration"])
        seconds = metrics["env_steps"] / done / metrics["steps_per_s"]
        left = round(seconds * (self.total - done))
        if self.console.is_terminal:
            self._show(done, f"{text}  {timedelta(seconds=left)} left")
        else:
            self._print(done, f"{text}  {left} s left")

    def close(self) -> None:
        """Leaves the bar as it stands."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self, done: int, text: str) -> None:
        if self._bar is None:
            self._bar = RichProgress(
                TextColumn(self.kind.iteration),
                MofNCompleteColumn(),
                BarColumn(bar_width=None),
                TextColumn("{task.description}"),
                console=self.console,
            )
            self._task = self._bar.add_task("", total=self.total, completed=self.start)
            self._bar.start()
        self._bar.update(self._task, completed=done, description=text)

    def _print(self, done: int, text: str) -> None:
        now = time.monotonic()
        if now - self._last_line < self.every_s and done < self.total:
            return
        self._last_line = now
        line = f"{self.kind.iteration} {done}/{self.total}  {text}"
        self.console.print(line, soft_wrap=True, highlight=False)
