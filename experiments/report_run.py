"""Meta-tests a run on held-out tasks and says how it did: JSON, pictures, a table."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

import pictures
from config import Config, MetaTestConfig
from episode_pictures import draw_episodes, is_drawn
from errors import UsageError
from explorax.metatest import MetaTestResult
from explorax.parallel import everywhere, replicate, task_mesh
from explorax.sinks import finite_or_none
from explorax.train import FitResult
from explorax.types import PyTree, Task
from held_out import do_nothing, held_out_tasks
from learners import of_seed
from metatest_program import metatest_keys, metatest_program
from paper import paper_curves
from reports import (
    INTERVAL,
    about,
    draw_training,
    files_of,
    print_files,
    summarise,
    title,
    waiting,
)
from run_directory import RunDirectory, read_json, write_json
from runtime import import_envs, make_env


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
    config: Config, test: MetaTestConfig, params: PyTree, tasks: Task, devices: int | None
) -> list[dict[str, Any]]:
    """Adapts to ``tasks`` with the sparse reward, as one compiled program for all members.

    Args:
      config: the run's.
      test: sizes of the test; its number of tasks is not used.
      params: what meta-training learned; with a leading axis where the run has several members.
      tasks: leading axis N.
      devices: the most to use, None for all.

    Returns:
      For each member return and success per iteration with intervals, per task, and those of doing
      nothing.
    """
    env = make_env(config.env, reward="sparse")
    num_tasks = jax.tree.leaves(tasks)[0].shape[0]
    mesh = task_mesh(num_tasks, devices)
    program = jax.jit(metatest_program(config, env, mesh, test), out_shardings=everywhere(mesh))
    given = replicate((*jax.device_get((params, tasks)), metatest_keys(config)), mesh)
    result: MetaTestResult = jax.device_get(program(*given))
    idle = jax.device_get(jax.jit(partial(do_nothing, env))(tasks))
    of_each = jax.tree.map(lambda x: x.reshape(config.num_members, *x.shape[-2:]), result)
    return [
        _report(test, jax.tree.map(lambda x, m=m: x[m], of_each), idle)
        for m in range(config.num_members)
    ]


def _report(test: MetaTestConfig, result: MetaTestResult, idle: tuple) -> dict[str, Any]:
    """What metatest.json holds of one seed's results, besides whose they are."""
    return {
        "num_tasks": len(result.episode_return),
        "num_episodes": test.num_episodes,
        "num_iterations": test.num_iterations,
        "interval": INTERVAL,
        "return": summarise(result.episode_return),
        "success": summarise(result.success),
        "do_nothing": {"return": float(idle[0]), "success": float(idle[1])},
        "per_task": {
            "return": _rounded(result.episode_return),
            "success": _rounded(result.success),
        },
    }


def _rounded(values: Any) -> list[list[float | None]]:
    """Three decimals; None where an adaptation diverged, which JSON has no number for."""
    return [[finite_or_none(x) for x in row] for row in np.round(values, 3).tolist()]


def write_metatest(run: RunDirectory[Config], out: Path, meta_iteration: int, report: dict) -> Path:
    """Writes metatest.json into ``out`` unless another run's is there.

    Raises:
      UsageError: it is.
    """
    path = check_out(run, out)
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, about(run, meta_iteration) | report)
    return path


def check_out(run: RunDirectory[Config], out: Path) -> Path:
    """Where metatest.json goes; refuses to overwrite another run's."""
    path, picture = out / "metatest.json", out / "metatest.png"
    if out.exists() and not out.is_dir():
        raise UsageError(f"out: {out} is no directory")
    try:
        owner = read_json(path).get("run_id")
    except FileNotFoundError:
        if picture.exists():
            raise UsageError(f"out: {picture} exists already, without {path.name}") from None
        return path
    except (OSError, ValueError, AttributeError):
        owner = None
    if owner != run.run_id:
        raise UsageError(f"out: {path} exists already and is not of the run in {run.path}")
    return path


def report_training(run: RunDirectory[Config], result: FitResult, console: Console) -> None:
    """Meta-tests a finished run and writes everything that its directory ends with."""
    config, params = run.config, result.state.params
    tasks = held_out_tasks(make_env(config.env), config.metatest.num_tasks)
    test, say = config.metatest, Console(stderr=True)
    reports, paths = report_metatest(
        run, run.path, result.meta_iteration, test, params, tasks, None, say
    )
    for i, (member, its) in enumerate(zip(run.members(), config.members(), strict=True)):
        paths += draw_training(member, pictures.training_curve)
        if is_drawn(config.env):
            with waiting(say, "drawing episodes"):
                paths += draw_episodes(its, of_seed(config, params, i), tasks, member.path)
    print_summary(console, reports, files_of(run) + paths)


def test_along(config: Config, params: PyTree) -> None:
    """The part of ``report_training`` that all processes of a run have, in one that reports not."""
    tasks = held_out_tasks(make_env(config.env), config.metatest.num_tasks)
    evaluate_params(config, config.metatest, params, tasks, config.train.devices or None)


def report_metatest(
    run: RunDirectory[Config],
    out: Path,
    meta_iteration: int,
    test: MetaTestConfig,
    params: PyTree,
    tasks: Task,
    source: str | None,
    say: Console,
) -> tuple[list[dict[str, Any]], list[Path]]:
    """Meta-tests all members of a run and writes a metatest.json and a picture for each.

    Args:
      run: whose.
      out: directory to write into; a member of several has its own in there.
      meta_iteration: how far ``params`` were trained.
      test: sizes of the test.
      params: what meta-training learned.
      tasks: leading axis N.
      source: the file that they come from, None for the usual ones.
      say: where progress goes.

    Returns:
      The reports, and the files.
    """
    with waiting(say, "meta-testing"):
        reports = evaluate_params(run.config, test, params, tasks, run.config.train.devices or None)
    paths = []
    for member, report in zip(run.members(), reports, strict=True):
        report |= {"tasks": source}
        member_out = out_of_member(run, member, out)
        paths.append(write_metatest(member, member_out, meta_iteration, report))
        paths.append(draw_metatest(member, member_out, report))
    return reports, paths


def out_of_member(run: RunDirectory[Config], member: RunDirectory, out: Path) -> Path:
    """Where in ``out`` the files of one of the run's members go."""
    return out / member.path.relative_to(run.path)


def draw_metatest(run: RunDirectory[Config], out: Path, report: dict[str, Any]) -> Path:
    """The meta-test curve, beside the paper's where it has the suite."""
    path = out / "metatest.png"
    paper = paper_curves(run.config.env.name)
    pictures.metatest_curve(path, report, paper, title=title(run))
    return path


def print_summary(
    console: Console, reports: Sequence[dict[str, Any]], paths: Sequence[Path]
) -> None:
    """Return and success at the first meta-test iterations and the last, beside doing nothing.

    Of several members it is their mean, and the range of their returns.
    """
    first, several = reports[0], len(reports) > 1
    last, idle = first["num_iterations"], first["do_nothing"]
    table = Table(title=f"Meta-test: {first['num_tasks']} held-out tasks, sparse reward")
    for name in ("iteration", "return", "range" if several else "95% interval", "success"):
        table.add_column(name, justify="right")
    table.add_row("doing nothing", f"{idle['return']:.1f}", "", f"{idle['success']:.2f}")
    for i in sorted({*range(min(last, 5) + 1), last}):
        returns = [report["return"]["mean"][i] for report in reports]
        low, high = first["return"]["low"][i], first["return"]["high"][i]
        if several and None not in returns:
            low, high = min(returns), max(returns)
        interval = "" if low is None else f"{low:.1f} .. {high:.1f}"
        mean = "diverged" if None in returns else f"{fmean(returns):.1f}"
        success = fmean(report["success"]["mean"][i] for report in reports)
        table.add_row(str(i), mean, interval, f"{success:.2f}")
    console.print(table)
    print_files(console, paths)
