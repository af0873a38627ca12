"""What a checkpoint is judged by: the returns of the iterations before it."""

from collections import deque
from collections.abc import Mapping, Sequence
from statistics import fmean

from explorax.sinks import read_together
from run_directory import RunDirectory


class Scores:
    """A metric's mean over the last ``train.checkpoint_every`` iterations, and over seeds.

    Of one iteration it would be that of the few tasks that it has drawn.
    """

    def __init__(self, run: RunDirectory, metric: str | None):
        """Begins with what metrics.jsonl holds; without a ``metric`` nothing is judged."""
        self._metric = metric
        self._recent: deque[float] = deque(maxlen=run.config.train.checkpoint_every)
        for rows in read_together([member.metrics for member in run.members()]):
            self.add(rows)

    def add(self, rows: Sequence[Mapping[str, float]]) -> None:
        """One iteration's metrics of each seed."""
        if self._metric is not None:
            self._recent.append(fmean(row[self._metric] for row in rows))

    def mean(self) -> float | None:
        """The score now; None without an iteration."""
        return fmean(self._recent) if self._recent else None
