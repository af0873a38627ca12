"""What broke in a run that is not finite any more: its last updates are run a second time."""

from collections.abc import Sequence

from rich.console import Console

from explorax.checkpoint import Checkpoints
from explorax.parallel import of_first_process
from explorax.train import NonFiniteError, replay
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
    lead to the same numbers, here and with ``--resume``.
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
    return f"not finite at {where}{': ' if what else ''}{what}; {kept}; {again}"


def _name(member: RunDirectory) -> str:
    """In a line of words."""
    return member.path.name if member.setting else f"seed {member.config.seed}"


def few(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many follow."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
