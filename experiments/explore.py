"""Draws how runs explore one task: ``python experiments/explore.py runs/a runs/b --out PATH.png``.

Exit codes: 0 done, 2 wrong flags or paths.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from cli import parse, run_main
from config import Config
from errors import UsageError
from explorax.config import require
from run_directory import Seed

NUM_TASKS = 100
"""Held-out tasks to choose from: the first of those that every run is tested on."""
SAME = ("name", "block_shape", "physics")
"""What the environments of all runs have to share; their rewards are replaced by the test's."""


@dataclass(frozen=True)
class ExploreConfig:
    """Draw 20 episodes on a held-out task before adaptation, and after 1 and 5 iterations of it."""

    run_dirs: tyro.conf.Positional[tuple[Path, ...]]
    """Finished runs on one environment, a row each. RUN/seedN is a seed of several, RUN their
    first."""
    task: int = 0
    """Which held-out task, 0 to 99, the same for all runs."""
    out: Path | None = None
    """PNG to write; runs/explore-TIME.png if not given. Nothing is overwritten."""

    def __post_init__(self):
        require(len(self.run_dirs) >= 1, "run_dirs", "must name at least one run")
        require(0 <= self.task < NUM_TASKS, "task", f"must be in 0..{NUM_TASKS - 1}")
        require(self.out is None or self.out.suffix == ".png", "out", "must end in .png")


def main(argv: Sequence[str]) -> int:
    """Draws the runs that the flags name."""
    asked = parse(ExploreConfig, argv)
    out = asked.out or Path("runs") / f"explore-{time.strftime('%Y%m%d-%H%M%S')}.png"
    if out.exists() or out.is_symlink():
        raise UsageError(f"out: {out} exists already")
    seeds = [Seed.open(path, Config) for path in asked.run_dirs]
    check_same_env(seeds)
    for run, _ in seeds:
        if not run.checkpoints.is_dir():
            raise UsageError(f"{run.checkpoints}: is missing; there is nothing to draw yet")
    from runtime import needing_memory

    with needing_memory():
        explore(seeds, asked.task, out)
    return 0


def check_same_env(seeds: Sequence[Seed]) -> None:
    """Raises UsageError where a picture would show different environments."""
    first = seeds[0].run
    for run, _ in seeds:
        for name in SAME:
            here, there = getattr(run.config.env, name), getattr(first.config.env, name)
            if here != there:
                raise UsageError(
                    f"run_dirs: {run.path} has env.{name} {here}, {first.path} has {there}"
                )


def explore(seeds: Sequence[Seed], number: int, out: Path) -> None:
    """Restores all runs, adapts them to held-out task ``number``, draws and reports."""
    from runtime import configure_jax, make_env

    configure_jax(1)
    # These take seconds to import, and errors in flags should not wait for them.
    import jax
    from rich.console import Console

    import report_exploration as report
    from held_out import held_out_tasks
    from reports import print_files, waiting

    say, console = Console(stderr=True), Console()
    env = make_env(seeds[0].run.config.env, reward="sparse")
    task = jax.tree.map(lambda x: x[number], held_out_tasks(env, NUM_TASKS))
    learned = [report.finished_params(seed) for seed in seeds]
    out.parent.mkdir(parents=True, exist_ok=True)
    with waiting(say, "adapting"):
        shown = [
            report.on_task(env, seed, params, task, number)
            for seed, params in zip(seeds, learned, strict=True)
        ]
    with waiting(say, "drawing"):
        report.draw(seeds, shown, task, number, out)
    report.print_summary(console, seeds, shown, number)
    print_files(console, [out])


if __name__ == "__main__":
    sys.exit(run_main(main))
