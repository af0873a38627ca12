"""Takes the hierarchical combination apart on Push: ``python experiments/ablation.py``.

Trains what is missing, every row for as many environment steps. Of each reward of meta-training it
then draws REWARD.png, with CSVs as ``figure.py`` has them, and prints what is in REWARD-table.csv.
Exit codes: 0 done, 1 a training ended early, 2 wrong flags or paths, 128 + n stopped by signal n.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ablation_runs import (
    BEST_SKILL,
    NAMES,
    ROOT,
    ROWS,
    VARIANTS,
    Reward,
    Run,
    default_names,
    run_of,
    skill_runs,
)
from ablation_table import REFERENCE, Line, level_lines, lines_of, print_tables, write_table
from best_skills import read_levels
from child_runs import train_missing
from cli import parse, run_main
from comparisons import read_reports, scores_of, write_comparison
from config import RunConfig
from consoles import wide_console
from explorax.config import require

REWARDS: tuple[Reward, ...] = ("dense", "sparse")


@dataclass(frozen=True)
class AblationConfig:
    """Every part of the hierarchical combination alone and together, on Push."""

    reward: Literal["dense", "sparse", "both"] = "sparse"
    """Reward of meta-training; tests are always sparse."""
    methods: tuple[str, ...] | None = None
    """Rows and variants, by name; all rows if not given."""
    variants: bool = False
    """All variants instead of all rows, beside those that they vary."""
    seeds: int = 3
    """Seeds per row."""
    variant_seeds: int = 1
    """Seeds per variant."""
    runs: Path = ROOT
    """Runs are kept in RUNS/push-REWARD-SEEDSseeds/ROW; those that `make figure` has, with its."""
    out: Path | None = None
    """Directory of the pictures and tables; RUNS if not given."""

    def __post_init__(self):
        require(1 <= self.seeds <= 1024, "seeds", "must be in 1..1024")
        require(1 <= self.variant_seeds <= 1024, "variant_seeds", "must be in 1..1024")
        require(self.methods != (), "methods", "must name at least one")
        for name in self.methods or ():
            require(name in NAMES, "methods", f"must be among {', '.join(NAMES)}; got '{name}'")
        require(
            not (self.methods and self.variants),
            "variants",
            "are all drawn; --methods names single ones",
        )
        require(
            set(self.methods or ()) != {BEST_SKILL},
            "methods",
            f"need one with a curve to draw {BEST_SKILL} beside",
        )

    @property
    def names(self) -> Sequence[str]:
        """What to draw, each once."""
        return tuple(dict.fromkeys(self.methods or default_names(self.variants)))

    @property
    def rewards(self) -> Sequence[Reward]:
        """Of meta-training, one after the other."""
        return [reward for reward in REWARDS if self.reward in (reward, "both")]

    def rows(self, reward: Reward) -> dict[str, Run]:
        """The runs to draw, by the name of their row."""
        seeds = dict.fromkeys(ROWS, self.seeds) | dict.fromkeys(VARIANTS, self.variant_seeds)
        names = [name for name in self.names if name != BEST_SKILL]
        return {name: run_of(name, reward, seeds[name], self.runs) for name in names}


def wanted_runs(config: AblationConfig) -> dict[Path, RunConfig]:
    """All runs that what is asked for needs, by directory."""
    wanted: dict[Path, RunConfig] = {}
    if BEST_SKILL in config.names:
        wanted |= skill_runs(config.seeds)
    for reward in config.rewards:
        wanted |= dict(config.rows(reward).values())
    return wanted


def report(config: AblationConfig, reward: Reward) -> tuple[list[Line], list[Path]]:
    """Draws and tables the rows whose meta-training had this reward.

    Returns:
      The table's lines, and the files.
    """
    runs = config.rows(reward)
    reports = read_reports([run.path for run in runs.values()], list(runs))
    skill_dirs = list(skill_runs(config.seeds)) if BEST_SKILL in config.names else []
    levels = read_levels(skill_dirs, reports[0]) if skill_dirs else {}
    stem = f"{reward}-variants" if config.variants else reward
    out = (config.out or config.runs) / stem
    files = write_comparison(
        out, reports, levels=levels, title=f"meta-trained with the {reward} reward"
    )
    scores = scores_of(reports)
    lines = lines_of(runs, scores, reports[0]["do_nothing"])
    lines += level_lines(levels, scores.get(REFERENCE), skill_dirs)
    table = out.with_name(f"{stem}-table.csv")
    write_table(table, lines)
    return lines, [*files, table]


def main(argv: Sequence[str]) -> int:
    """Draws what the flags name."""
    config = parse(AblationConfig, argv)
    train_missing(wanted_runs(config))
    console = wide_console()
    for reward in config.rewards:
        lines, files = report(config, reward)
        print_tables(console, f"Meta-trained with the {reward} reward", lines)
        print("\n".join(map(str, files)))
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
