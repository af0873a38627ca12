"""Writes a page on finished runs: ``python experiments/report.py runs/a runs/b --out PATH.html``.

Exit codes: 0 done, 2 wrong flags or paths.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from cli import parse, run_main
from comparisons import metrics_of, read_reports
from config import RunConfig, SkillsRunConfig
from errors import UsageError
from explorax.config import require
from run_directory import RunDirectory, write_whole

if TYPE_CHECKING:
    from rich.console import Console

    from pages.page import Page


@dataclass(frozen=True)
class ReportConfig:
    """Everything that finished runs have left, on one page of HTML that needs nothing else."""

    run_dirs: tyro.conf.Positional[tuple[Path, ...]]
    """Finished runs of `make train` on one environment, or of `make skills`."""
    out: Path | None = None
    """HTML file to write; RUN/report.html of one run, runs/report-TIME.html of several if not
    given. Nothing is overwritten but a page on the same runs."""

    def __post_init__(self):
        require(len(self.run_dirs) >= 1, "run_dirs", "must name at least one run")
        require(self.out is None or self.out.suffix == ".html", "out", "must end in .html")


def main(argv: Sequence[str]) -> int:
    """Writes a page on the runs that the flags name."""
    asked = parse(ReportConfig, argv)
    runs = [RunDirectory.open(path) for path in asked.run_dirs]
    check_runs(runs)
    out = asked.out or default_out(runs)
    check_out(out, runs)
    from rich.console import Console  # takes a while to import

    page = make_page(runs, Console(stderr=True))
    from pages.page import render

    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, render(page))
    print(out)
    return 0


def default_out(runs: Sequence[RunDirectory]) -> Path:
    """Within a run, or beside several."""
    if len(runs) == 1:
        return runs[0].path / "report.html"
    return Path("runs") / f"report-{time.strftime('%Y%m%d-%H%M%S')}.html"


def check_runs(runs: Sequence[RunDirectory]) -> None:
    """Raises UsageError for runs that are not finished, named twice, or of both kinds."""
    first, paths = runs[0], [run.path.resolve() for run in runs]
    for i, run in enumerate(runs):
        if paths[i] in paths[:i]:
            raise UsageError(f"run_dirs: {run.path} is named twice")
        if type(run.config) is not type(first.config):
            raise UsageError(
                f"run_dirs: {run.path} is a run of `make {run.config.target}`, {first.path} of "
                f"`make {first.config.target}`: a page is on runs of one kind"
            )
        if run.config.num_members > run.config.num_seeds:
            raise UsageError(
                f"run_dirs: {run.path} is of several settings, and a page is on runs of one; "
                "`make figure` has them side by side"
            )
        for member in run.members():
            check_finished(run, member)


def check_finished(run: RunDirectory, member: RunDirectory) -> None:
    """Raises UsageError for a seed that was not trained to its end, or not tested."""
    asked, records = run.config.train.num_iterations, metrics_of(member.path)
    done = records[-1]["meta_iteration"] if records else 0
    result = member.path / result_file(run.config)
    if done >= asked and result.exists():
        return
    why = f"{result} is missing" if done >= asked else f"it is at {done} of {asked} iterations"
    raise UsageError(
        f"run_dirs: {run.path} is not finished, {why}; "
        f"`make {run.config.target}` goes on with --run-dir {run.path} --resume"
    )


def result_file(config: RunConfig) -> str:
    """The file that a tested seed has."""
    return "skills.json" if isinstance(config, SkillsRunConfig) else "metatest.json"


def check_out(out: Path, runs: Sequence[RunDirectory]) -> None:
    """Raises UsageError where the page would take the place of anything but its like."""
    from pages.page import is_about

    if out.is_dir():
        raise UsageError(f"out: {out} is a directory")
    if out.is_symlink() or (out.exists() and not is_about(out, [run.run_id for run in runs])):
        raise UsageError(f"out: {out} exists already and is not a page on these runs")


def make_page(runs: Sequence[RunDirectory], say: "Console") -> "Page":
    """Reads and draws everything."""
    is_of_skills = isinstance(runs[0].config, SkillsRunConfig)
    return page_of_skills(runs, say) if is_of_skills else page_of_runs(runs, say)


def page_of_skills(runs: Sequence[RunDirectory], say: "Console") -> "Page":
    """The page on runs of `make skills`."""
    from pages.skills import Finished, page_on_skills
    from reports import waiting
    from result_files import SkillTest, read_result  # takes a while to import

    finished = [
        Finished(run, [read_result(m.path / "skills.json", SkillTest) for m in run.members()])
        for run in runs
    ]
    with waiting(say, "drawing"):
        return page_on_skills(finished)


def page_of_runs(runs: Sequence[RunDirectory], say: "Console") -> "Page":
    """The page on runs of `make train`."""
    from runtime import configure_jax

    configure_jax(1)
    # These take seconds to import, and errors in flags should not wait for them.
    from pages.latents import latents_of
    from pages.runs import Finished, labels_of, page_on_runs
    from reports import waiting

    reports = iter(read_reports([run.path for run in runs], labels_of(runs)))
    of_runs = [[next(reports) for _ in run.members()] for run in runs]
    with waiting(say, "reading checkpoints"):
        latents = [latents_of(run) for run in runs]
    with waiting(say, "drawing"):
        return page_on_runs(list(map(Finished, runs, of_runs, latents)))


if __name__ == "__main__":
    sys.exit(run_main(main))
