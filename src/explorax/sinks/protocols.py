"""Interfaces of sinks and run logs."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Sink(Protocol):
    """Takes one iteration's metrics after the other."""

    def write(self, metrics: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class Results(NamedTuple):
    """What a run ends with, besides its metrics."""

    counters: Mapping[str, float]  # those of COUNTERS that say how far it was trained
    scores: Mapping[str, float | None]  # by name
    tables: Mapping[str, Sequence[Mapping[str, Any]]]  # rows, by name
    pictures: Mapping[str, Path]  # PNG or GIF, by name
    checkpoint: Path | None = None  # a directory


class RunLog(Protocol):
    """Shows a run elsewhere than in its own directory."""

    def write(self, metrics: Mapping[str, float | None]) -> None:
        """Takes one iteration's metrics; None where the method lacks a metric."""
        ...

    def write_results(self, results: Results) -> None:
        """Takes what the run ends with."""
        ...

    def close(self, exit_code: int) -> None:
        """Ends the log; the code is that of the process, 0 where the run is finished."""
        ...


def finite(metrics: Mapping[str, float | None]) -> dict[str, float]:
    """The metrics that are finite numbers."""
    return {k: v for k, v in metrics.items() if v is not None and math.isfinite(v)}
