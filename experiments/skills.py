"""Discovers skills and measures what they do: ``python experiments/skills.py --preset push-diayn``.

Exit codes: 0 done, or training saved because of SIGTERM or SIGUSR2, which it says; 1 not finite any
more, no memory or disk left, 2 wrong flags or paths, 130 stopped by Ctrl-C.
"""

import sys
from collections.abc import Sequence

from cli import parse_skills, run_main
from launch import launch


def main(argv: Sequence[str]) -> int:
    """Runs what the flags say."""
    return launch(parse_skills(argv), _report, _test_along)


def _report(*args) -> None:
    from report_skills import report_skills  # takes seconds to import

    report_skills(*args)


def _test_along(*args) -> None:
    from report_skills import test_along

    test_along(*args)


if __name__ == "__main__":
    sys.exit(run_main(main))
