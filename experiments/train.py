"""Meta-trains and meta-tests: ``python experiments/train.py --preset push-maesn``.

Exit codes: 0 done, or training saved because of SIGTERM or SIGUSR2, which it says; 1 not finite any
more, no memory or disk left, stopped while skills were discovered; 2 wrong flags or paths; 130
stopped by Ctrl-C.
"""

import sys
from collections.abc import Sequence

from cli import parse_train, run_main
from launch import launch


def main(argv: Sequence[str]) -> int:
    """Runs what the flags say."""
    return launch(parse_train(argv), _report, _test_along)


def _report(*args) -> None:
    from report_run import report_training  # takes seconds to import

    report_training(*args)


def _test_along(*args) -> None:
    from report_run import test_along

    test_along(*args)


if __name__ == "__main__":
    sys.exit(run_main(main))
