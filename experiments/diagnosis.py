"""What broke in a run that is not finite any more: its last updates are run a second time."""

import shutil
from collections.abc import Sequence

from rich.console import Console

from config_json import to_json
from explorax.checkpoint import CheckpointError, Checkpoints
from explorax.parallel import of_first_process, wait_for_all
from explorax.train import NonFiniteError, iterations_done, replay
from explorax.types import LearnerState
from learners import Setup, last_or_first
from run_directory import RunDirectory


def what_broke(
    run: RunDirectory,
    setup: Setup,
    checkpoints: Checkpoints,
    error: NonFiniteError,
    console: Console,
) -> str:
    """Metrics and arrays that are not finite, where, and how to meet it again; one line.

    Every key follows from the seed and the iteration: from the last checkpoint the same updates
    lead to the same numbers, here and with ``--resume``. The states around the update that broke
    are kept; where the replay is finite, the one after it is that of the run itself.
    """
    unit, names = setup.kind.iteration, [_name(member) for member in run.members()]
    of_members = f", {', '.join(names[m] for m in error.members)}" if len(names) > 1 else ""
    where = f"{unit} {error.meta_iteration}{of_members}"
    start = last_or_first(run.config, setup, checkpoints)
    state = of_first_process(start.state)
    console.print(f"{where} is not finite; replaying from {start.step}", highlight=False)
    chunk_size = run.config.train.chunk_size
    found = replay(setup.learner, state, setup.mesh, chunk_size, error.meta_iteration)
    kept = f"the checkpoint of {unit} {start.step} is kept" if start.step else "none was saved"
    again = "--resume meets it again"
    if found.finite:
        again = "a replay from there is finite, as after a fault of the machine: --resume goes on"
    known = [name for name in setup.kind.metric_keys if name in error.metrics]
    metrics = known + [name for name in error.metrics if name not in known]
    what = "; ".join(few(names) for names in (metrics, found.leaves) if names)
    around = _keep(run, found.before, error.state if found.finite else found.after, unit)
    wait_for_all()  # once one process has ended, jax ends the rest
    return f"not finite at {where}{': ' if what else ''}{what}; {around}; {kept}; {again}"


def _keep(run: RunDirectory, before: LearnerState, after: LearnerState, unit: str) -> str:
    """Writes both states into the run as checkpoints; says where they are, or why they are not."""
    steps = iterations_done(before), iterations_done(after)
    shutil.rmtree(run.broken, ignore_errors=True)
    try:
        with Checkpoints(run.broken) as states:
            for step, state in zip(steps, (before, after), strict=True):
                states.save(step, state, to_json(run.config))
    except CheckpointError as error:
        return str(error)
    return f"the states of {unit} {steps[0]} and {steps[1]} are in {run.broken}"


def _name(member: RunDirectory) -> str:
    """A member's name within a sentence."""
    return member.path.name if member.setting else f"seed {member.config.seed}"


def few(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many follow."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
