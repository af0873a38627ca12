"""Meta-tests a trained run on held-out tasks: ``python experiments/evaluate.py runs/NAME``.

Exit codes: 0 done, 2 wrong flags or paths.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from cli import parse, run_main
from config import HORIZON, Config, MetaTestConfig
from errors import UsageError
from explorax.config import MOST_STEPS, require, require_sizes
from run_directory import RunDirectory


@dataclass(frozen=True)
class EvaluateConfig:
    """Adapt what a run has learned to held-out tasks with the sparse reward."""

    run_dir: tyro.conf.Positional[Path]
    """Directory of the run."""
    best: bool = False
    """The checkpoint before which training earned most, in place of the newest."""
    tasks: Path | None = None
    """An .npz file of tasks (see explorax_envs.save_tasks) in place of the usual ones."""
    num_tasks: int = 100
    """How many of the usual held-out tasks, where there is no file."""
    num_iterations: int = 100
    """Inner steps per task."""
    episodes: int = 20
    """Episodes per task and iteration."""
    out: Path | None = None
    """Where metatest.json and metatest.png go; RUN/evaluation if not given. The run's own, of the
    test after training, stay."""

    def __post_init__(self):
        require_sizes(self, "", "num_tasks", "num_iterations")
        require_sizes(self, "", "episodes", low=2)
        most = MOST_STEPS // max(HORIZON.values())
        together = self.num_tasks * self.episodes
        require(together <= most, "episodes", f"with num_tasks make {together}, more than {most}")


def main(argv: Sequence[str]) -> int:
    """Evaluates what the flags say."""
    asked = parse(EvaluateConfig, argv)
    run = RunDirectory.open(asked.run_dir, Config)
    if asked.tasks is not None and not asked.tasks.is_file():
        raise UsageError(f"tasks: {asked.tasks}: there is no such file")
    if not run.checkpoints.is_dir():
        raise UsageError(f"{run.checkpoints}: is missing; there is nothing to evaluate yet")
    from runtime import needing_memory

    with needing_memory():
        evaluate(asked, run)
    return 0


def evaluate(asked: EvaluateConfig, run: RunDirectory[Config]) -> None:
    """Restores, meta-tests and reports."""
    from runtime import configure_jax, make_env

    configure_jax(run.config.train.devices)
    # These take seconds to import, and errors in flags should not wait for them.
    from rich.console import Console

    import report_run
    from held_out import held_out_tasks
    from learners import restore_best, restore_latest, set_up

    out = asked.out or run.path / "evaluation"
    if out.exists() and not out.is_dir():
        raise UsageError(f"out: {out} is no directory")
    for member in run.members():
        check_not_its_own(member, report_run.out_of_member(run, member, out))
        report_run.check_out(member, report_run.out_of_member(run, member, out))
    config = run.config
    if asked.tasks is None:
        tasks, source = held_out_tasks(make_env(config.env), asked.num_tasks), None
    else:
        tasks, source = report_run.load_tasks(config, asked.tasks), str(asked.tasks)
    restore = restore_best if asked.best else restore_latest
    state, meta_iteration = restore(run, set_up(config))
    console = Console(stderr=True)
    console.print(f"checkpoint of meta-iteration {meta_iteration}", highlight=False)
    test = MetaTestConfig(asked.num_tasks, asked.num_iterations, asked.episodes)
    results, paths = report_run.report_metatest(
        run, out, meta_iteration, test, state.params, tasks, source, console
    )
    report_run.print_summary(Console(), results, paths)


def check_not_its_own(run: RunDirectory[Config], out: Path) -> None:
    """Raises UsageError where the test after training would be lost, which comparisons need."""
    if out.resolve() == run.path.resolve() and (run.path / "metatest.json").exists():
        raise UsageError(f"out: {out / 'metatest.json'} is of the test after training; it stays")


if __name__ == "__main__":
    sys.exit(run_main(main))
