"""A page on runs that discover skills."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pictures
from config import SkillsRunConfig
from pages.page import Block, Page, Part, Section, Table
from pages.sections import (
    UNKNOWN,
    Records,
    about,
    at_the_end,
    configuration,
    heading,
    own_name,
    picture_of,
    score,
    speed,
    training,
    versions,
    whose,
)
from run_directory import RunDirectory

Run = RunDirectory[SkillsRunConfig]
Report = Mapping[str, Any]


class Finished(NamedTuple):
    """A run, and what skills.json holds of each of its seeds."""

    run: Run
    reports: list[Report]


def page_on_skills(finished: Sequence[Finished]) -> Page:
    """The whole page."""
    runs = [one.run for one in finished]
    parts = [part_on(one, own_name(one.run, runs)) for one in finished]
    if len(runs) > 1:
        columns: dict[str, Report] = {}
        for one in finished:
            columns |= by_seed(one, f"{own_name(one.run, runs)}, ")
        of_all = f"{len(runs)} runs, {len(columns)} seeds."
        parts.insert(0, Part("Comparison", of_all, [Section("Skills", [facts(columns)])]))
    return Page(heading("explorax skills", runs), parts, [run.run_id for run in runs])


def by_seed(finished: Finished, prefix: str = "") -> dict[str, Report]:
    """The reports of a run by what their columns are called."""
    members = finished.run.members()
    return {
        f"{prefix}seed {member.config.seed}": report
        for member, report in zip(members, finished.reports, strict=True)
    }


def part_on(finished: Finished, name: str) -> Part:
    """All sections on one run."""
    run = finished.run
    sections = [
        configuration(run),
        training(run, pictures.skill_curves, curves_in_words, "Nothing was trained."),
        Section("Skills", [facts(by_seed(finished)), *pictures_of(run)]),
        speed(run),
        versions(run),
    ]
    return Part(name, about(run), sections)


def curves_in_words(records: Records) -> str:
    """What a seed's learning curves show."""
    reward = at_the_end(records, "intrinsic_reward")
    return (
        "How far skills can be told apart over environment steps; in the end the intrinsic "
        f"reward is {reward} nats."
    )


def facts(columns: Mapping[str, Report]) -> Table:
    """How distinct skills are, and what they reach on held-out tasks, a column per seed."""
    of_columns = [one(report) for report in columns.values()]
    rows = [(name, *(column[name] for column in of_columns)) for name in of_columns[0]]
    return Table("Skills on held-out tasks, sparse reward", ["", *columns], rows)


def one(report: Report) -> dict[str, str]:
    """What is said of one seed."""
    found, accuracy = report["zero_shot"], report["accuracy"]
    distinct = report["distinct_skills"]
    said = {
        "skills": str(report["num_skills"]),
        "distinct skills": UNKNOWN if distinct is None else f"{distinct:.1f}",
        "told at the last step": UNKNOWN if accuracy is None else f"{accuracy['last_step']:.0%}",
        "chance": UNKNOWN if accuracy is None else f"{accuracy['chance']:.0%}",
        "largest displacement (m)": f"{max(report['displacement_m']['largest']):.2f}",
    }
    scored = {"best on other tasks": "best_on_average", "best of a trial each": "best_per_task"}
    for title, name in scored.items():
        for what in ("return", "success"):
            parts = (found[name][what][part] for part in ("mean", "low", "high"))
            said[f"{title}: {what}"] = score(*parts, percent=what == "success")
    idle = found["do_nothing"]
    return said | {
        "doing nothing: return": score(idle["return"], None, None),
        "doing nothing: success": score(idle["success"], None, None, percent=True),
    }


def pictures_of(run: Run) -> list[Block]:
    """The paths of all skills, and those that move most in motion."""
    names = {
        "skills.png": "Paths of every skill on held-out tasks.",
        "skills.gif": "The skills that move most, in motion.",
    }
    return [
        picture_of(member.path / name, alt, whose(run, member), "wide")
        for member in run.members()
        for name, alt in names.items()
    ]
