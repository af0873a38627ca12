"""Draws methods side by side: ``python experiments/figure.py --suite push``, or ``... RUN RUN``.

Of a suite it trains what is missing first. Runs of one preset are one curve: mean, interquartile
mean and success over its seeds and the tasks. Beside the picture are three CSVs: the curves, every
run, and every meta-iteration of their training; with a reference a fourth: how far the others are
above it.
Exit codes: 0 done, 1 a training ended early, 2 wrong flags or paths, 128 + n stopped by signal n.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from child_runs import train_missing
from cli import parse, run_main
from comparisons import check_reference, read_reports, write_comparison
from explorax.config import require
from paper import paper_curves
from presets import SuiteName
from suite_runs import ROOT, Budget, configs, directory


@dataclass(frozen=True)
class FigureConfig:
    """Meta-test curves of all methods on a suite, beside the paper's."""

    run_dirs: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Runs to draw, as they are; without any, the suite's are trained where they are missing."""
    suite: SuiteName = "push"
    """Which environment."""
    seeds: int = 3
    """Seeds per method."""
    budget: Budget = "small"
    """Meta-training steps: 24 million on Push and Wheeled and 48 on Ant, for a CPU; or 100 million
    on Push and 200 on the others, with the exact physics, for a GPU."""
    runs: Path = ROOT
    """The suite's runs are kept in RUNS/SUITE-BUDGET-SEEDSseeds/PRESET."""
    reference: str | None = None
    """Name of the curve to take the others' differences to, with intervals; none if not given."""
    out: Path | None = None
    """Path of the PNG and the CSVs, without a suffix; beside the suite's runs if not given, or
    runs/figure of runs that are named."""

    def __post_init__(self):
        require(1 <= self.seeds <= 1024, "seeds", "must be in 1..1024")
        of_suite = (self.suite, self.seeds, self.budget) != ("push", 3, "small")
        require(
            not (self.run_dirs and of_suite),
            "run_dirs",
            "are drawn as they are; --suite, --seeds and --budget are for the suite's own runs",
        )


def main(argv: Sequence[str]) -> int:
    """Draws what the flags name."""
    config = parse(FigureConfig, argv)
    asked, out = config.run_dirs, config.out or ROOT
    if not asked:
        root = directory(config.runs, config.suite, config.budget, config.seeds)
        wanted = configs(config.suite, config.budget, config.seeds)
        check_reference(config.reference, [run.preset for run in wanted])
        asked = train_missing({root / run.preset: run for run in wanted})
        out = config.out or root / "figure"
    reports = read_reports(asked)
    paper = paper_curves(reports[0]["env"])
    files = write_comparison(out, reports, paper, reference=config.reference)
    print("\n".join(map(str, files)))
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
