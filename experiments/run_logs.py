"""A run in Weights & Biases and TensorBoard: what its directory holds, shown elsewhere."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from rich.console import Console

from config_json import flatten, to_json
from explorax.sinks import BestEffort, TensorBoardSink, WandbSink, read_together
from run_directory import RunDirectory
from run_results import results_of


class RunLogs:
    """The logs that a run's config asks for, each with a part for every seed.

    None of them can end the run. Each has all that metrics.jsonl has: what was written before it
    was switched on, or while it was broken, follows when the run is resumed.
    """

    def __init__(self, run: RunDirectory, console: Console):
        """Opens nothing yet; what is to be said of the logs goes to ``console``."""
        self.exit_code = 0  # what W&B is told; of a run that was stopped, that it is not finished
        self._run = run
        self._say = partial(console.print, soft_wrap=True, highlight=False, markup=False)
        self._logs: list[BestEffort] = []

    def open(self) -> None:
        """Opens the logs and writes what metrics.jsonl holds."""
        config = self._run.config
        if config.wandb.mode != "disabled":
            self._logs.append(BestEffort("wandb", _wandb_runs(self._run, self._say), self._say))
        if config.tensorboard:
            sinks = (TensorBoardSink(member.tensorboard) for member in self._run.members())
            self._logs.append(BestEffort("tensorboard", sinks, self._say))
        if self._logs:
            for rows in read_together([member.metrics for member in self._run.members()]):
                self.write(rows)

    def write(self, rows: Sequence[Mapping[str, float | None]]) -> None:
        """Takes one iteration's metrics of each seed."""
        for log in self._logs:
            log.write(rows)

    def write_results(self) -> None:
        """Takes what the run's directory ends with."""
        if self._logs:
            results = [results_of(self._run, member) for member in self._run.members()]
            for log in self._logs:
                log.write_results(results)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: object, trace: TracebackType | None) -> None:
        for log in self._logs:
            log.close(self.exit_code if kind is None else 1)


def _wandb_runs(run: RunDirectory, say: Callable[[str], Any]) -> Iterator[WandbSink]:
    """A W&B run for each member; several are a group. None is online after one that cannot be."""
    settings = run.config.wandb
    mode, together = settings.mode, settings.name or run.path.name
    assert mode != "disabled"
    members = run.members()
    for member in members:
        sink = WandbSink(
            mode,
            member.path,
            settings.project,
            together if len(members) == 1 else f"{together}-{member.path.name}",
            member.run_id,
            flatten(to_json(member.config)),
            group=None if len(members) == 1 else together,
        )
        mode = sink.mode
        if sink.url is not None:
            say(f"wandb: {sink.url}")
        yield sink
