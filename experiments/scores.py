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

    def add(self, rows: Sequence[Mapping[str, float | None]]) -> None:
        """One iteration's metrics of each seed; without the metric it does not count."""
        values = [] if self._metric is None else [row.get(self._metric) for row in rows]
        known = [value for value in values if value is not None]
        if known and len(known) == len(values):
            self._recent.append(fmean(known))

    def mean(self) -> float | None:
        """The score now; None without an iteration."""
        return fmean(self._recent) if self._recent else None
