"""A training script between its flags and its exit code."""

import contextlib
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from config import Config, RunConfig
from errors import INTERRUPTED, StoppedError, code_once_saved
from processes import in_step
from run_directory import RunDirectory
from skill_sources import prepare

if TYPE_CHECKING:
    from rich.console import Console

    from explorax.train import FitResult
    from explorax.types import PyTree

C = TypeVar("C", bound=RunConfig)
Report = Callable[[RunDirectory[C], "FitResult", "Console"], None]
TestAlong = Callable[[C, "PyTree"], None]


def launch(config: C, report: Report[C], test_along: TestAlong[C]) -> int:
    """Trains the run and reports on it.

    Args:
      config: what the flags say.
      report: ``(run, where training ended, console)``, called once training is finished.
      test_along: ``(config, params)``, called in its place in processes that only compute.

    Returns:
      The exit code.

    Raises:
      UsageError: what is asked for cannot be done.
      RunError: training cannot go on.
    """
    if config.run_dir is not None and not config.resume:
        RunDirectory.check_new(config.run_dir)
    try:
        prepare(config)  # before jax has the devices
        with in_step() if config.distributed else contextlib.nullcontext():
            return _run(config, report, test_along)
    except StoppedError as stopped:  # while its skills were discovered: it has nothing to lose
        print(stopped, file=sys.stderr)
        return code_once_saved(stopped.stopped_by)
    except KeyboardInterrupt:
        print("stopped at once; --resume continues from the last checkpoint", file=sys.stderr)
        return INTERRUPTED


def _run(config: C, report: Report[C], test_along: TestAlong[C]) -> int:
    from runtime import configure_jax, needing_memory

    configure_jax(config.train.devices)
    # These take seconds to import, and errors in flags should not wait for them.
    import jax
    from rich.console import Console

    from followers import follow
    from learners import set_up
    from run_logs import RunLogs
    from training import train

    setup = set_up(config)
    if isinstance(config, Config) and config.vary and not config.resume:
        from traceable import check_traceable

        check_traceable(config)
    if jax.process_index() > 0:
        with needing_memory():
            return follow(config, setup, test_along)
    if config.resume:
        assert config.run_dir is not None
        directory = replace(RunDirectory.open(config.run_dir), config=config)
    else:
        directory = RunDirectory.create(config)
    console = Console(stderr=True)
    with needing_memory(), RunLogs(directory, console) as logs:
        result, signal = train(directory, setup, logs, console)
        if signal is not None:
            logs.exit_code = 128 + signal
            console.print(
                f"stopped by {signal.name} after {setup.kind.iteration} {result.meta_iteration}; "
                f"resume with: make {config.target} ARGS='--run-dir {directory.path} --resume'",
                soft_wrap=True,
                highlight=False,
            )
            return code_once_saved(signal)
        report(directory, result, Console())
        logs.write_results()
    return 0
