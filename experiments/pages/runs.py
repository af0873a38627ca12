"""A page on meta-training runs: each of them, and before that all of them side by side."""

from collections.abc import Sequence
from typing import NamedTuple

import pictures
from comparisons import Report
from config import Config
from config_json import settings_id
from episode_pictures import NUM_EPISODES, STAGES, stage_name
from pages.latents import Latents, latent_section
from pages.metatest import comparison_section, metatest_section
from pages.page import Page, Part, Section
from pages.sections import (
    Records,
    about,
    at_the_end,
    configuration,
    heading,
    own_name,
    picture_of,
    speed,
    training,
    versions,
    whose,
)
from run_directory import RunDirectory

Run = RunDirectory[Config]


class Finished(NamedTuple):
    """A run, and of each of its seeds what came of it."""

    run: Run
    reports: list[Report]  # labelled with the curve that they belong to
    latents: list[Latents]


def labels_of(runs: Sequence[Run]) -> list[str]:
    """The name of the curve that each run belongs to.

    That is its preset, where all runs of it differ in their seeds only and have none in common:
    they are one curve. Else it is the run's own directory.
    """
    return [run.config.preset if is_one_curve(run, runs) else own_name(run, runs) for run in runs]


def is_one_curve(run: Run, runs: Sequence[Run]) -> bool:
    """Whether the runs of a run's preset are those of further seeds."""
    alike = [other for other in runs if other.config.preset == run.config.preset]
    seeds = [member.config.seed for other in alike for member in other.members()]
    same = len({settings_id(other.config) for other in alike}) == 1
    return same and len(seeds) == len(set(seeds))


def page_on_runs(finished: Sequence[Finished]) -> Page:
    """The whole page; the runs are on one environment."""
    runs = [one.run for one in finished]
    parts = [part_on(one, own_name(one.run, runs)) for one in finished]
    if len(runs) > 1:
        every = [report for one in finished for report in one.reports]
        of_all = f"{len(runs)} runs on {runs[0].config.env.name}, {len(every)} seeds."
        parts.insert(0, Part("Comparison", of_all, [comparison_section(every)]))
    return Page(heading("explorax", runs), parts, [run.run_id for run in runs])


def part_on(finished: Finished, name: str) -> Part:
    """All sections on one run."""
    run = finished.run
    sections = [
        configuration(run),
        training(run, pictures.training_curve, curves_in_words, "Nothing was meta-trained."),
        metatest_section(run, finished.reports),
        latent_section(run, finished.latents),
        exploration(run),
        episodes(run),
        speed(run),
        versions(run),
    ]
    return Part(name, about(run), sections)


def curves_in_words(records: Records) -> str:
    """What a seed's learning curves show."""
    before, after = (at_the_end(records, f"return_{stage}") for stage in ("pre", "post"))
    return (
        "Return and success on training tasks before and after adaptation over environment "
        f"steps; in the end the return is {before} before and {after} after."
    )


def exploration(run: Run) -> Section:
    """The paths of the episodes on a held-out task."""
    stages = ", ".join(stage_name(run.config, stage) for stage in STAGES)
    alt = f"Paths of {NUM_EPISODES} episodes on a held-out task: {stages}."
    blocks = [
        picture_of(member.path / "exploration.png", alt, whose(run, member), "wide")
        for member in run.members()
    ]
    return Section("Exploration before and after adaptation", blocks)


def episodes(run: Run) -> Section:
    """The best adapted episode in motion."""
    after = stage_name(run.config, STAGES[-1])
    alt = f"The episode with the highest return on a held-out task, {after}."
    blocks = [
        picture_of(member.path / "episode.gif", alt, whose(run, member), "small")
        for member in run.members()
    ]
    return Section("An adapted episode", blocks)
