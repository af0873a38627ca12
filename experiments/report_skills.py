"""Measures a run's skills on held-out tasks and says what they do: JSON, CSV, pictures, a table."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.table import Table

import pictures
from config import SkillsRunConfig
from csv_files import write_csv
from explorax.train import FitResult
from explorax.types import PyTree
from learners import of_seed
from reports import (
    INTERVAL,
    about,
    draw_training,
    files_of,
    print_files,
    summarise,
    title,
    waiting,
)
from run_directory import RunDirectory, write_json
from runtime import import_envs
from skill_evaluation import Found, SkillTest, measure, set_up_test
from skill_measures import distinct_skills

NUM_MOVING = 12
"""Skills in skills.gif."""


def report_skills(run: RunDirectory[SkillsRunConfig], result: FitResult, console: Console) -> None:
    """Measures a finished run's skills and writes everything that its directory ends with."""
    say, params = Console(stderr=True), result.state.params
    reports, paths = [], []
    with waiting(say, "preparing the test"):
        test = set_up_test(run.config)
    for i, member in enumerate(run.members()):
        with waiting(say, f"measuring the skills of seed {member.config.seed}"):
            of_member = measure(test, of_seed(run.config, params, i), member.config.seed)
        reports.append(report_of(test, of_member))
        json_file, csv_file = member.path / "skills.json", member.path / "skills.csv"
        write_json(json_file, about(member, result.meta_iteration) | reports[-1])
        write_csv(csv_file, rows_of(of_member, test.numbered))
        with waiting(say, "drawing skills"):
            paths += [
                json_file,
                csv_file,
                *draw_training(member, pictures.skill_curves),
                *draw_skills(member, of_member),
            ]
    print_summary(console, reports, files_of(run) + paths)


def test_along(config: SkillsRunConfig, params: PyTree) -> None:
    """The part of ``report_skills`` that all processes of a run have, in one that reports not."""
    test = set_up_test(config)
    for i in range(config.num_seeds):
        measure(test, of_seed(config, params, i), config.seed + i)


def report_of(test: SkillTest, found: Found) -> dict[str, Any]:
    """What skills.json holds of one seed, besides whose it is."""
    sizes, trials, num_skills = test.config.evaluation, found.trials, len(found.moved)
    accuracy = {
        "all_steps": float(trials.accuracy.mean()),
        "last_step": float(trials.correct_last.mean()),
        "chance": 1.0 / num_skills,
    }
    idle = dict(zip(("return", "success"), test.idle, strict=True))
    return {
        "objective": test.config.skills.objective,
        "skill_space": test.config.skills.skill_space,
        "features": test.config.skills.features,
        "num_skills": num_skills,
        "num_tasks": sizes.num_tasks,
        "num_episodes": sizes.num_episodes,
        "accuracy": accuracy if test.numbered else None,
        "distinct_skills": distinct_skills(trials.information, found.prior)
        if test.numbered
        else None,
        "information_last": float(np.average(trials.information.mean(axis=1), weights=found.prior)),
        "accepted": accepted(accuracy, found.moved) if test.numbered else None,
        "displacement_m": {
            "mean": rounded(found.moved),
            "largest": rounded(found.moved.max(axis=0)),
            "largest_by_skill": found.moved.argmax(axis=0).tolist(),
        },
        "zero_shot": {
            "interval": INTERVAL,
            "do_nothing": idle,
            "best_on_average": {"skill": found.best, "trial_episodes_per_task": 0}
            | scores(*found.of_best),
            "best_per_task": {"trial_episodes_per_task": num_skills} | scores(*found.of_per_task),
        },
    }


def accepted(accuracy: dict[str, float], moved: Float[np.ndarray, "K P"]) -> dict[str, bool]:
    """Whether skills are fit for a controller: told apart, and everything moved by some of them."""
    return {
        "told_5_times_chance": accuracy["all_steps"] >= 5 * accuracy["chance"],
        "everything_moved_5_cm": bool((moved.max(axis=0) > 0.05).all()),
    }


def scores(
    episode_return: Float[np.ndarray, " N"], success: Float[np.ndarray, " N"]
) -> dict[str, Any]:
    """Means over tasks with their intervals, and each task's."""
    columns = {"return": episode_return, "success": success}
    means = {
        name: {part: x for part, (x,) in summarise(values[:, None]).items()}
        for name, values in columns.items()
    }
    return means | {"per_task": {name: rounded(values) for name, values in columns.items()}}


def rounded(values: np.ndarray) -> list:
    """Four decimals; whole numbers as they are."""
    whole = np.issubdtype(values.dtype, np.integer)
    return values.tolist() if whole else np.round(values.astype(np.float64), 4).tolist()


def rows_of(found: Found, numbered: bool) -> list[dict[str, Any]]:
    """What skills.csv holds: a row per skill, means over tasks."""
    trials, others = found.trials, found.others
    columns: dict[str, Any] = {"skill": np.arange(len(found.moved)), "prior": found.prior}
    if not numbered:
        columns |= {f"z_{i}": z for i, z in enumerate(found.codes.T)}
    else:
        columns |= {
            "accuracy": trials.accuracy.mean(axis=1),
            "accuracy_last": trials.correct_last.mean(axis=1),
        }
    columns |= {
        "information_last": trials.information.mean(axis=1),
        "return": trials.episode_return.mean(axis=1),
        "success": trials.success.mean(axis=1),
        "return_on_others": others.episode_return.mean(axis=1),
        "success_on_others": others.success.mean(axis=1),
        "tasks_best_on": np.bincount(found.per_task, minlength=len(found.moved)),
    }
    columns |= {f"displacement_{p}": x for p, x in enumerate(found.moved.T)}
    table = zip(*map(rounded, columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in table]


def draw_skills(run: RunDirectory[SkillsRunConfig], found: Found) -> list[Path]:
    """Paths of every skill, and those that move most in motion, where the suite draws them."""
    suite: Any = getattr(import_envs(), run.config.env.name, None)
    if not hasattr(suite, "render_skills"):
        return []
    picture, film = run.path / "skills.png", run.path / "skills.gif"
    names = [f"skill {k}" for k in range(len(found.moved))]
    suite.render_skills(found.obs, picture, names=names, title=title(run))
    most = np.sort(np.argsort(-found.moved.max(axis=1), kind="stable")[:NUM_MOVING])
    moving = f"{title(run)}: the {len(most)} skills that move most"
    suite.animate_skills(found.obs[most, 0], film, names=[names[k] for k in most], title=moving)
    return [picture, film]


def print_summary(
    console: Console, reports: Sequence[dict[str, Any]], paths: Sequence[Path]
) -> None:
    """What skills reach, beside doing nothing, and how far they can be told apart.

    Of several seeds it is their mean, and the range of their returns.
    """
    first, several = reports[0], len(reports) > 1
    sizes = f"{first['num_tasks']} held-out tasks, sparse reward"
    table = Table(title=f"Skills: {sizes}", caption=_facts(reports))
    for name in ("skill", "return", "seeds" if several else "95% interval", "success"):
        table.add_column(name, justify="right")
    idle = first["zero_shot"]["do_nothing"]
    table.add_row("doing nothing", f"{idle['return']:.1f}", "", f"{idle['success']:.2f}")
    trials = f"best of {first['num_skills']} trial episodes"
    for name, shown in {"best_on_average": "best on other tasks", "best_per_task": trials}.items():
        of_seeds = [report["zero_shot"][name] for report in reports]
        returns = [scored["return"]["mean"] for scored in of_seeds]
        low, high = of_seeds[0]["return"]["low"], of_seeds[0]["return"]["high"]
        if several:
            low, high = min(returns), max(returns)
        interval = "" if low is None else f"{low:.1f} .. {high:.1f}"
        success = fmean(scored["success"]["mean"] for scored in of_seeds)
        table.add_row(shown, f"{fmean(returns):.1f}", interval, f"{success:.2f}")
    console.print(table)
    print_files(console, paths)


def _facts(reports: Sequence[dict[str, Any]]) -> str:
    """How distinct skills are and how far they move things, means over seeds."""
    num_skills, information = reports[0]["num_skills"], [r["information_last"] for r in reports]
    facts = [f"the last state has {fmean(information):.2f} nats about its skill"]
    if reports[0]["accuracy"] is not None:
        distinct = fmean(report["distinct_skills"] for report in reports)
        facts = [f"{distinct:.1f} distinct of {num_skills} skills"]
        last = fmean(report["accuracy"]["last_step"] for report in reports)
        facts.append(f"told at the last step {last:.0%} (chance {1 / num_skills:.0%})")
    far = np.mean([report["displacement_m"]["largest"] for report in reports], axis=0)
    facts.append(f"moved at most {', '.join(f'{x:.2f}' for x in far)} m")
    return "\n".join(facts)
