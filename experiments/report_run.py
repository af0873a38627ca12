"""Meta-tests a run on held-out tasks and says how it did: JSON, pictures, a table."""

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from rich.console import Console
from rich.table import Table
from scipy import stats

import pictures
from config import Config, MetaTestConfig, settings_id
from episode_pictures import draw_episodes, is_drawn
from errors import UsageError
from explorax.adapt import task_axes
from explorax.meta_update import build
from explorax.metatest import MetaTestResult, meta_test
from explorax.nets import Policy
from explorax.outer import MetaParams
from explorax.parallel import replicate, task_mesh
from explorax.rollout import TaskParams, returns_and_success, rollout
from explorax.sinks import finite_or_none, read_jsonl
from explorax.train import FitResult
from explorax.types import Env, Gaussian, Task
from paper import paper_curves
from run_directory import RunDirectory, write_json
from runtime import import_envs, make_env

HELD_OUT, EPISODES = 0x7E57, 0xE915
"""Streams of held-out tasks and their episodes; training folds nothing so large into a key."""


def held_out_tasks(env: Env, num_tasks: int) -> Task:
    """Tasks that no seed trains on, the same for all runs."""
    return env.sample_tasks(jax.random.fold_in(jax.random.key(0), HELD_OUT), num_tasks)


def load_tasks(config: Config, path: Path) -> Task:
    """Tasks from an ``.npz`` file.

    Raises:
      UsageError: it is unreadable, or holds tasks of another suite.
    """
    try:
        return import_envs().load_tasks(config.env.name, path)
    except OSError as error:
        raise UsageError(f"tasks: {path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(f"tasks: {' '.join(str(error).split())}") from error


def evaluate_params(
    config: Config, test: MetaTestConfig, params: MetaParams, tasks: Task, devices: int | None
) -> dict[str, Any]:
    """Adapts to ``tasks`` with the sparse reward, as one compiled program.

    Args:
      config: the run's.
      test: sizes of the test; its number of tasks is not used.
      params: what meta-training learned.
      tasks: leading axis N.
      devices: the most to use, None for all.

    Returns:
      Return and success per iteration with intervals, per task, and those of doing nothing.
    """
    env = make_env(config.env, reward="sparse")
    num_tasks = jax.tree.leaves(tasks)[0].shape[0]
    mesh = task_mesh(num_tasks, devices)
    learner = build(env, config.meta, mesh)
    program = jax.jit(
        partial(meta_test, env, learner, mesh, test.num_iterations, test.num_episodes)
    )
    key = jax.random.fold_in(jax.random.key(config.seed), EPISODES)
    arguments = replicate(jax.device_get((params, tasks)), mesh)
    result: MetaTestResult = jax.device_get(program(*arguments, replicate(key, mesh)))
    idle_return, idle_success = jax.device_get(jax.jit(partial(do_nothing, env))(tasks))
    return {
        "num_tasks": num_tasks,
        "num_episodes": test.num_episodes,
        "num_iterations": test.num_iterations,
        "interval": "95%, percentile bootstrap over tasks",
        "return": summarise(result.episode_return),
        "success": summarise(result.success),
        "do_nothing": {"return": float(idle_return), "success": float(idle_success)},
        "per_task": {
            "return": _rounded(result.episode_return),
            "success": _rounded(result.success),
        },
    }


def _rounded(values: Any) -> list[list[float | None]]:
    """Three decimals; None where an adaptation diverged, which JSON has no number for."""
    return [[finite_or_none(x) for x in row] for row in np.round(values, 3).tolist()]


def summarise(values: Any) -> dict[str, list[float | None]]:
    """Mean over tasks (axis 0 of N, S) and its 95% bootstrap interval; one task has none."""
    values = np.asarray(values, np.float64)
    mean = np.mean(values, axis=0)
    if len(values) < 2:
        nothing: list[float | None] = [None] * values.shape[1]
        return {"mean": [finite_or_none(x) for x in mean], "low": nothing, "high": nothing}
    interval: Any = stats.bootstrap(
        (values,),
        np.mean,
        axis=0,
        n_resamples=2000,
        batch=100,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    columns = {"mean": mean, "low": interval.low, "high": interval.high}
    return {name: [finite_or_none(x) for x in column] for name, column in columns.items()}


def do_nothing(env: Env, tasks: Task) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean return and success of the action 0."""
    num_tasks = jax.tree.leaves(tasks)[0].shape[0]

    def still(_, obs, latent):
        mean = jnp.zeros((*obs.shape[:-1], env.action_size))
        return Gaussian(mean, jnp.full_like(mean, -jnp.inf))

    no_latent = jnp.zeros((num_tasks, 0))
    params = TaskParams(Gaussian(no_latent, no_latent), ())
    keys = jax.random.split(jax.random.key(0), (num_tasks, 1))
    policy = Policy(lambda _: (), still)
    trajectory = rollout(env, policy, params, task_axes("latents"), tasks, keys)
    episode_return, success = returns_and_success(trajectory)
    return jnp.mean(episode_return), jnp.mean(success)


def write_metatest(run: RunDirectory, out: Path, meta_iteration: int, report: dict) -> Path:
    """Writes metatest.json into ``out`` unless another run's is there.

    Raises:
      UsageError: it is.
    """
    path = check_out(run, out)
    out.mkdir(parents=True, exist_ok=True)
    about = {
        "run_id": run.run_id,
        "preset": run.config.preset,
        "env": run.config.env.name,
        "seed": run.config.seed,
        "settings_id": settings_id(run.config),
        "meta_iteration": meta_iteration,
    }
    write_json(path, about | report)
    return path


def check_out(run: RunDirectory, out: Path) -> Path:
    """Where metatest.json goes; refuses to overwrite another run's."""
    path, picture = out / "metatest.json", out / "metatest.png"
    if out.exists() and not out.is_dir():
        raise UsageError(f"out: {out} is no directory")
    try:
        owner = json.loads(path.read_text(encoding="utf-8")).get("run_id")
    except FileNotFoundError:
        if picture.exists():
            raise UsageError(f"out: {picture} exists already") from None
        return path
    except (OSError, ValueError, AttributeError):
        owner = None
    if owner != run.run_id:
        raise UsageError(f"out: {path} exists already and is not of the run in {run.path}")
    return path


@contextlib.contextmanager
def waiting(console: Console, what: str) -> Iterator[None]:
    """Says what takes a while, then how long it took."""
    start = time.monotonic()
    if console.is_terminal:
        with console.status(f"{what}…"):
            yield
    else:
        console.print(f"{what}…")
        yield
    console.print(f"{what} took {time.monotonic() - start:.1f} s", highlight=False)


def report_training(run: RunDirectory, result: FitResult, console: Console) -> None:
    """Meta-tests a finished run and writes everything that its directory ends with."""
    config, params = run.config, result.state.params
    devices = config.train.devices or None
    tasks = held_out_tasks(make_env(config.env), config.metatest.num_tasks)
    say = Console(stderr=True)
    with waiting(say, "meta-testing"):
        report = evaluate_params(config, config.metatest, params, tasks, devices)
    report |= {"tasks": None}  # no file of them
    paths = [write_metatest(run, run.path, result.meta_iteration, report)]
    paths += [*draw_training(run), draw_metatest(run, run.path, report)]
    if is_drawn(config.env):
        with waiting(say, "drawing episodes"):
            paths += draw_episodes(config, params, tasks, run.path)
    written = [run.config_file, run.metrics, run.checkpoints, run.path / "wandb", *paths]
    print_summary(console, report, [path for path in written if path.exists()])


def draw_training(run: RunDirectory) -> list[Path]:
    """The learning curve, where there is one."""
    records = read_jsonl(run.metrics) if run.metrics.exists() else []
    if not records:
        return []
    path = run.path / "training.png"
    pictures.training_curve(path, records, title=_title(run))
    return [path]


def draw_metatest(run: RunDirectory, out: Path, report: dict[str, Any]) -> Path:
    """The meta-test curve, beside the paper's where it has the suite."""
    path = out / "metatest.png"
    paper = paper_curves(run.config.env.name)
    pictures.metatest_curve(path, report, paper, title=_title(run))
    return path


def _title(run: RunDirectory) -> str:
    return f"{run.config.preset}, seed {run.config.seed}"


def print_summary(console: Console, report: dict[str, Any], paths: Sequence[Path]) -> None:
    """Return and success at the first meta-test iterations and the last, beside doing nothing."""
    last = report["num_iterations"]
    table = Table(title=f"Meta-test: {report['num_tasks']} held-out tasks, sparse reward")
    for name in ("iteration", "return", "95% interval", "success"):
        table.add_column(name, justify="right")
    idle = report["do_nothing"]
    table.add_row("doing nothing", f"{idle['return']:.1f}", "", f"{idle['success']:.2f}")
    columns = report["return"]
    for i in sorted({*range(min(last, 5) + 1), last}):
        low, high = columns["low"][i], columns["high"][i]
        interval = "" if low is None else f"{low:.1f} .. {high:.1f}"
        mean = "diverged" if columns["mean"][i] is None else f"{columns['mean'][i]:.1f}"
        success = f"{report['success']['mean'][i]:.2f}"
        table.add_row(str(i), mean, interval, success)
    console.print(table)
    for path in paths:
        console.print(str(path), soft_wrap=True, highlight=False)
