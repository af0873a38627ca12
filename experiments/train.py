"""Meta-trains and meta-tests: ``python experiments/train.py --preset push-maesn``.

Exit codes: 0 done, 1 not finite any more or nothing can be written, 2 wrong flags or paths, 128 + n
stopped by signal n.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace

from cli import parse_train, run_main
from config import Config
from run_directory import RunDirectory, default_path

INTERRUPTED = 130


def main(argv: Sequence[str]) -> int:
    """Runs what the flags say."""
    config = parse_train(argv)
    if not config.resume:
        RunDirectory.check_new(config.run_dir or default_path(config))
    try:
        return run(config)
    except KeyboardInterrupt:
        print("stopped at once; --resume continues from the last checkpoint", file=sys.stderr)
        return INTERRUPTED


def run(config: Config) -> int:
    """Trains, meta-tests and reports."""
    from runtime import configure_jax

    configure_jax(config.train.devices)
    # These take seconds to import, and errors in flags should not wait for them.
    from rich.console import Console

    from training import set_up, train

    setup = set_up(config)
    if config.resume:
        assert config.run_dir is not None
        directory = replace(RunDirectory.open(config.run_dir), config=config)
    else:
        directory = RunDirectory.create(config)
    console = Console(stderr=True)
    result, signal = train(directory, setup, console)
    if signal is not None:
        console.print(
            f"stopped by {signal.name} after meta-iteration {result.meta_iteration}; resume with: "
            f"python experiments/train.py --run-dir {directory.path} --resume",
            soft_wrap=True,
            highlight=False,
        )
        return 128 + signal
    from report_run import report_training

    report_training(directory, result, Console())
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
