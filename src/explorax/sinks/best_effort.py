"""Logs that a run can do without."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from explorax.sinks.protocols import Results, RunLog


class BestEffort:
    """Logs of one kind, one for each seed of a run. The first thing that goes wrong ends them.

    It is said in one line, and training goes on: metrics.jsonl is the record of truth.
    """

    def __init__(self, name: str, logs: Iterable[RunLog], say: Callable[[str], Any]):
        """Opens the logs.

        Args:
          name: begins the line that says what went wrong.
          logs: opens one whenever it is asked for the next.
          say: takes that line.
        """
        self._name, self._say = name, say
        self._logs: list[RunLog] = []
        with self._going_on():
            for log in logs:
                self._logs.append(log)

    def write(self, rows: Sequence[Mapping[str, float | None]]) -> None:
        """Takes one iteration's metrics of each seed."""
        with self._going_on():
            for log, row in zip(self._logs, rows, strict=False):  # none are left after a failure
                log.write(row)

    def write_results(self, results: Sequence[Results]) -> None:
        """Takes what each seed ends with."""
        with self._going_on():
            for log, of_seed in zip(self._logs, results, strict=False):
                log.write_results(of_seed)

    def close(self, exit_code: int) -> None:
        """Ends the logs; the code is that of the process."""
        with self._going_on():
            self._close(exit_code)

    def _close(self, exit_code: int) -> None:
        """Stops at the first that cannot be closed: each may wait for a server."""
        logs, self._logs = self._logs, []
        for log in logs:
            log.close(exit_code)

    @contextlib.contextmanager
    def _going_on(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # clients raise whatever their layers below do
            what = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            self._say(f"{self._name}: {what}; the run goes on without, metrics.jsonl has it all")
            with contextlib.suppress(Exception):
                self._close(1)
