"""Where metrics go: a JSONL file, Weights & Biases, a progress bar."""

import contextlib
import io
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

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

WandbMode = Literal["disabled", "offline", "online"]

COUNTERS = ("meta_iteration", "env_steps", "wall_s", "steps_per_s")

METRIC_KEYS = (
    *COUNTERS,
    "return_pre",
    "return_post",
    "success_pre",
    "success_post",
    "kl_latent",
    "kl_policy",
    "line_search_ok",
    "action_std",
    "inner_lr_mean",
    "inner_lr_log_std",
    "inner_lr_params",
)
"""Every line of a meta-training's JSONL file has these, null where the method has no such thing."""

SKILL_METRIC_KEYS = (
    *COUNTERS,
    "intrinsic_reward",
    "intrinsic_reward_last",
    "accuracy",
    "distinct_skills",
    "effective_skills",
    "discriminator_loss",
    "critic_loss",
    "actor_loss",
    "action_std",
    "return",
    "success",
)
"""The same where skills are learned."""


class RunKind(NamedTuple):
    """How runs of one kind are written and shown."""

    iteration: str  # what an update is called
    metric_keys: tuple[str, ...]  # of every line of the JSONL file
    show: Callable[[Mapping[str, float]], str]  # the numbers that matter
    score: str | None  # the metric whose highest mean marks the best checkpoint


def _show_adaptation(metrics: Mapping[str, float]) -> str:
    return (
        f"return {metrics['return_pre']:.1f} → {metrics['return_post']:.1f}  "
        f"success {metrics['success_pre']:.2f} → {metrics['success_post']:.2f}"
    )


def _show_skills(metrics: Mapping[str, float]) -> str:
    shown = {"intrinsic_reward": "intrinsic reward", "accuracy": "accuracy"}
    shown["distinct_skills"] = "distinct skills"
    return "  ".join(f"{word} {metrics[key]:z.2f}" for key, word in shown.items() if key in metrics)


META_RUN = RunKind("meta-iteration", METRIC_KEYS, _show_adaptation, score="return_post")
# A discriminator that gets better raises the intrinsic reward of skills that stay as they are.
SKILLS_RUN = RunKind("iteration", SKILL_METRIC_KEYS, _show_skills, score=None)


class SinkError(Exception):
    """A sink's file cannot be used; one line that names it."""


class Sink(Protocol):
    """Takes one iteration's metrics after the other."""

    def write(self, metrics: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


def finite_or_none(value: float) -> float | None:
    """JSON knows neither NaN nor infinity."""
    return value if math.isfinite(value) else None


class JsonlSink:
    """One line of JSON per iteration, on disk before ``write`` returns."""

    def __init__(self, path: Path, keys: tuple[str, ...] = METRIC_KEYS):
        """Appends to ``path``, which is made if need be; every line has ``keys``."""
        self.keys = keys
        self._file = path.open("a", encoding="utf-8")

    def write(self, metrics: Mapping[str, float]) -> None:
        """Adds a line; other keys follow in alphabetical order."""
        line: dict[str, float | None] = dict.fromkeys(self.keys)
        line |= {name: finite_or_none(metrics[name]) for name in sorted(metrics)}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """All lines; a last one that was cut short by a kill is left out.

    Raises:
      SinkError: another line is no JSON object with a ``meta_iteration``.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            int(record["meta_iteration"])
        except (ValueError, TypeError, KeyError) as error:
            if number == len(lines):
                break
            raise SinkError(f"{path}: line {number} is not a line of metrics") from error
        records.append(record)
    return records


def truncate_jsonl(path: Path, meta_iteration: int) -> float:
    """Drops the lines after ``meta_iteration``, so that they are not written twice.

    Returns:
      ``wall_s`` of the last line that stays, 0 if there is none.

    Raises:
      SinkError: as ``read_jsonl``.
    """
    if not path.exists():
        return 0.0
    kept = [r for r in read_jsonl(path) if r["meta_iteration"] <= meta_iteration]
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("".join(json.dumps(r) + "\n" for r in kept), encoding="utf-8")
    temporary.replace(path)
    return float(kept[-1].get("wall_s") or 0.0) if kept else 0.0


class WandbSink:
    """The same metrics in a Weights & Biases run, its files below the run's directory."""

    def __init__(
        self,
        mode: Literal["offline", "online"],
        directory: Path,
        project: str,
        name: str,
        run_id: str,
        config: Mapping[str, Any],
        group: str | None = None,
    ):
        """Starts the run; without a key, or without the server, it is kept offline.

        Args:
          mode: where the run lives.
          directory: W&B makes its folder ``wandb`` in there.
          project: the W&B project.
          name: what the run is called.
          run_id: stays the same when a run is resumed.
          config: shown beside the run.
          group: of runs that go on at the same time in this process; None: it is the only one.
        """
        import wandb  # slow to import, and not needed where it is switched off

        problem = _login_problem() if mode == "online" else None
        # WANDB_RUN_ID is set by an agent of a sweep, which knows of one run only.
        settings: dict[str, Any] = {
            "dir": directory,
            "project": project,
            "name": name,
            "id": os.environ.get("WANDB_RUN_ID", run_id) if group is None else run_id,
            "config": dict(config),
            "settings": wandb.Settings(silent=True, console="off", init_timeout=30),
            "group": group,
            "reinit": "default" if group is None else "create_new",
        }
        try:
            if mode == "online" and problem is None:
                self._run = wandb.init(mode="online", resume="allow", **settings)
        except wandb.Error as error:
            problem = " ".join(str(error).split())
        if mode == "offline" or problem:
            self._run = wandb.init(mode="offline", **settings)
        if problem:
            print(
                f"wandb.mode: {problem.rstrip('.')}; the run is kept offline in "
                f"{directory / 'wandb'} (`wandb sync` uploads it)",
                file=sys.stderr,
            )
        self.mode = "offline" if self._run.offline else "online"
        self._run.define_metric("meta_iteration")
        self._run.define_metric("*", step_metric="meta_iteration")

    def write(self, metrics: Mapping[str, float]) -> None:
        """Logs what is finite."""
        self._run.log({name: value for name, value in metrics.items() if math.isfinite(value)})

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()


def _login_problem() -> str | None:
    """Why W&B cannot be used online, None if it can. Never asks for a key."""
    import wandb

    with contextlib.redirect_stderr(io.StringIO()):
        try:
            return None if wandb.login(prompt=False) else "no API key is set"
        except wandb.Error as error:
            return " ".join(str(error).split())


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
