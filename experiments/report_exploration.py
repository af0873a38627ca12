"""How finished runs explore one held-out task, side by side: a picture and a table."""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from episode_pictures import (
    NUM_EPISODES,
    STAGES,
    Recorded,
    at_stages,
    captions,
    record,
    stage_name,
)
from errors import UsageError
from explorax.parallel import one_device
from explorax.types import Env, PyTree, Task
from learners import finished_state, meta_learner, of_seed
from reports import title
from run_directory import Seed
from runtime import import_envs


def finished_params(seed: Seed) -> PyTree:
    """What a run has learned.

    Raises:
      UsageError: it is not finished, or its checkpoint cannot be read.
    """
    state = finished_state(seed.run)
    return of_seed(seed.run.config, jax.device_get(state.params), seed.index)


def on_task(env: Env, seed: Seed, params: PyTree, task: Task, number: int) -> Recorded:
    """A run's episodes on one task at the STAGES, leading axes C, K; the same keys for all runs.

    Args:
      env: with the reward of the test.
      seed: whose learner adapts.
      params: what it has learned.
      task: without a leading axis.
      number: which of the held-out tasks that is.

    Raises:
      UsageError: the adaptation diverged.
    """
    config = seed.run.config.members()[seed.index]
    learner = meta_learner(config, env, one_device())
    recorded = record(env, learner, params, jax.tree.map(lambda x: x[None], task))
    if not np.isfinite(recorded.obs).all():
        raise UsageError(f"task: the adaptation of {seed.run.path} to task {number} diverged")
    return at_stages(recorded, 0)


def draw(
    seeds: Sequence[Seed], shown: Sequence[Recorded], task: Task, number: int, out: Path
) -> None:
    """The paths of all episodes: a row per run, a column per stage."""
    name = seeds[0].run.config.env.name
    getattr(import_envs(), name).render_paths(
        np.stack([recorded.obs for recorded in shown]),
        jax.device_get(task),
        out,
        names=[
            caption
            for seed, recorded in zip(seeds, shown, strict=True)
            for caption in captions(seed.run.config, recorded)
        ],
        rows=labels(seeds),
        title=f"{name}, held-out task {number}: {NUM_EPISODES} episodes at each stage",
    )


def labels(seeds: Sequence[Seed]) -> list[str]:
    """Preset and seed of every run; below them the end of its path where others have the same."""
    names = [title(seed.member) for seed in seeds]
    return [
        name if names.count(name) == 1 else f"{name}\n{Path(*seed.run.path.parts[-2:])}"
        for name, seed in zip(names, seeds, strict=True)
    ]


def print_summary(
    console: Console, seeds: Sequence[Seed], shown: Sequence[Recorded], number: int
) -> None:
    """Mean return and share of successes of every run and stage."""
    table = Table(title=f"Held-out task {number}, sparse reward, {NUM_EPISODES} episodes a stage")
    for name in ("run", "stage"):
        table.add_column(name)
    for name in ("return", "success"):
        table.add_column(name, justify="right")
    for label, seed, recorded in zip(labels(seeds), seeds, shown, strict=True):
        means = (recorded.episode_return.mean(axis=-1), recorded.success.mean(axis=-1))
        for stage, mean, share in zip(STAGES, *means, strict=True):
            whose = label if stage == STAGES[0] else ""
            name = stage_name(seed.run.config, stage)
            table.add_row(whose, name, f"{mean:.1f}", f"{share:.2f}")
        table.add_section()
    console.print(table)
