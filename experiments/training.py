"""Trains a run from its directory: restores, fits, saves."""

import contextlib
import signal
import time
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

import jax
from rich.console import Console

import provenance
from config import Config, RunConfig
from config_json import from_json, to_json
from diagnosis import what_broke
from errors import RunError, UsageError
from explorax.checkpoint import CheckpointError, Checkpoints
from explorax.parallel import of_first_process, usable_devices
from explorax.sinks import JsonlSink, Progress, truncate_jsonl
from explorax.train import Callbacks, FitResult, NonFiniteError, Schedule, StopSignal, fit
from explorax.types import LearnerState
from learners import Setup, last_or_first, reading, spread
from run_directory import RunDirectory, check_same
from run_logs import RunLogs
from scores import Scores
from skill_sources import source_of, write_source


class Start(NamedTuple):
    """Where training begins."""

    state: LearnerState
    meta_iteration: int
    wall_s: float


def train(
    run: RunDirectory, setup: Setup, logs: RunLogs, console: Console
) -> tuple[FitResult, signal.Signals | None]:
    """Trains to the end, or until SIGINT, SIGTERM or SIGUSR2, which is then returned.

    Args:
      run: where it is written.
      setup: what is made of its config.
      logs: opened once it is known where training begins, and left open.
      console: takes what happens.

    Raises:
      UsageError: a checkpoint or metrics.jsonl is unreadable, or training is past its end.
      RunError: the parameters are not finite any more, or nothing can be written.
    """
    stop = _stop_signal(console)
    with reading(), contextlib.closing(Checkpoints(run.checkpoints)) as checkpoints:
        with stop:  # skills may have to be cloned
            start = _begin(run, setup, checkpoints, console)
        with _writing(run, setup, checkpoints, console), stop:
            run.write_config()
            provenance.record(run, start.meta_iteration, list(setup.mesh.devices.flat))
            if isinstance(run.config, Config) and run.config.has_skill_set:
                write_source(run, source_of(run.config))
            _describe(run, setup, start, console)
            logs.open()
            if run.config.train.num_iterations == 0 and not checkpoints.steps():
                checkpoints.save(0, start.state, to_json(run.config))
            result = _fit(run, setup, start, checkpoints, logs, stop, console)
            return result, stop.agreed()


def _fit(
    run: RunDirectory,
    setup: Setup,
    start: Start,
    checkpoints: Checkpoints,
    logs: RunLogs,
    stop: StopSignal,
    console: Console,
) -> FitResult:
    """The loop with everything that listens to it."""
    config = run.config
    sizes = config.train
    progress = Progress(sizes.num_iterations, start.meta_iteration, console, kind=setup.kind)
    files = [JsonlSink(member.metrics, setup.kind.metric_keys) for member in run.members()]
    scores = Scores(run, setup.kind.score)

    def on_metrics(rows: Sequence[dict[str, float]]) -> None:
        scores.add(rows)
        for file, row in zip(files, rows, strict=True):
            file.write(row)
        logs.write(rows)
        progress.write(_together(rows))

    callbacks = Callbacks(
        on_metrics,
        save=lambda step, state: checkpoints.save(step, state, to_json(config), scores.mean()),
        should_stop=stop,
        compiling=progress.compiling,
    )
    try:
        return fit(
            setup.learner, start.state, setup.mesh, schedule(config), callbacks, start.wall_s
        )
    finally:
        for sink in [*files, progress]:
            sink.close()


def schedule(config: RunConfig) -> Schedule:
    """When the run's loop stops, fetches and saves."""
    sizes = config.train
    return Schedule(sizes.num_iterations, sizes.chunk_size, sizes.checkpoint_every)


def _together(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """What is shown of several seeds: their mean, and the steps of all."""
    mean = {name: fmean(row[name] for row in rows) for name in rows[0]}
    return mean | {name: sum(row[name] for row in rows) for name in ("env_steps", "steps_per_s")}


@contextlib.contextmanager
def _writing(
    run: RunDirectory, setup: Setup, checkpoints: Checkpoints, console: Console
) -> Iterator[None]:
    """What cannot be written, or is not worth it, ends the run."""
    try:
        yield
    except NonFiniteError as error:
        raise RunError(what_broke(run, setup, checkpoints, error, console)) from error
    except CheckpointError as error:
        raise RunError(str(error)) from error
    except OSError as error:
        raise RunError(f"{error.filename or run.path}: {error.strerror}") from error


def _begin(run: RunDirectory, setup: Setup, checkpoints: Checkpoints, console: Console) -> Start:
    """The last whole checkpoint, or the first state; what came after it is cut off.

    That is lines of metrics.jsonl, and checkpoints that are damaged, or a first one cut short.
    """
    config, began = run.config, time.perf_counter()
    is_distilled = isinstance(config, Config) and config.hierarchy.skills == "distilled"
    if is_distilled and checkpoints.is_new():
        console.print("learning to do what the skills do…")
    restored = jax.block_until_ready(last_or_first(config, setup, checkpoints))
    took = time.perf_counter() - began if is_distilled and not restored.info else 0.0
    done = restored.step
    if restored.info:
        path = run.checkpoints / str(done)
        try:
            saved_with = from_json(restored.info)
        except ValueError as error:
            raise UsageError(f"{path}: {error}") from error
        check_same(saved_with, config, str(path))
    if done > config.train.num_iterations:
        raise UsageError(
            f"train.num_iterations: {config.train.num_iterations} asked for, but the run in "
            f"{run.path} is at {done} already"
        )
    wall_s = [truncate_jsonl(member.metrics, done) for member in run.members()]
    checkpoints.cut_back(done if restored.info else -1)
    return Start(of_first_process(restored.state), done, wall_s[0] + took)


def _describe(run: RunDirectory, setup: Setup, start: Start, console: Console) -> None:
    config, devices, unit = run.config, setup.mesh.devices, setup.kind.iteration
    seeds = ", ".join(map(str, range(config.seed, config.seed + config.num_seeds)))
    settings = config.num_members // config.num_seeds
    of_each = f" of each of {settings} settings" if settings > 1 else ""
    steps = config.num_members * setup.learner.steps_per_update
    processes = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    console.print(
        f"{config.preset} on {config.env.name}, seed {seeds}{of_each} → {run.path}  "
        f"({devices.size} × {devices.flat[0].platform}{processes}, {steps:,} steps per {unit})",
        soft_wrap=True,
        highlight=False,
    )
    usable = sum(map(len, usable_devices(config.train.devices or None)))
    if devices.size < usable:
        sizes = " and ".join(f"{name} {value}" for name, value in spread(config).items())
        console.print(
            f"{devices.size} of {usable} devices used: their number has to divide {sizes}",
            highlight=False,
        )
    if isinstance(config, Config) and config.has_skill_set:
        origins = [origin.path for origin in source_of(config).origins] or ["untrained"]
        console.print(f"skills: {', '.join(origins)}", soft_wrap=True, highlight=False)
    if start.meta_iteration:
        console.print(f"resumed at {unit} {start.meta_iteration}", highlight=False)


def _stop_signal(console: Console) -> StopSignal:
    def say(number: signal.Signals) -> None:
        console.print(f"{number.name}: stopping at the end of this chunk; again to stop at once")

    return StopSignal(say)
