"""Which skills a hierarchical run chooses among, or starts from, and how they come about.

They are found where they are, or discovered, and written down in the run.

Nothing here starts jax: a process that discovers skills needs the devices for itself.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from child_runs import command_of, is_tested, train_missing
from config import Config, RunConfig, SkillsRunConfig
from config_json import dataclass_from, settings_id
from errors import UsageError
from explorax.config import SkillConfig
from result_files import Acceptance, read_result
from run_directory import RunDirectory, read_json, write_json
from skill_presets import SKILL_PRESETS

ROOT = Path("runs/skills")
"""Where the skills of a preset are, each seed's in PRESET-seedN."""


@dataclass(frozen=True)
class Origin:
    """The run that one seed's skills come from."""

    path: str
    run_id: str
    settings_id: str


@dataclass(frozen=True)
class SkillSource:
    """The skills of a hierarchical run: what is needed to build their policy anew."""

    config: SkillConfig
    origins: tuple[Origin, ...]  # of each seed; none where skills are random


def prepare(config: RunConfig) -> None:
    """Discovers the skills that a new run lacks.

    Raises:
      UsageError: skills do not fit the run, or a resumed one was started with others.
      RunError: their discovery ended early.
    """
    if not isinstance(config, Config) or not config.has_skill_set:
        return
    hierarchy = config.hierarchy
    if _remembered(config) is None:
        if hierarchy.skills_dir is None:
            preset = SKILL_PRESETS[hierarchy.skill_preset]
            check_fits(config, preset, f"hierarchy.skill_preset: {preset.preset}")
            if hierarchy.needs_discovered:
                wanted = skill_paths(config).items()
                skills = {path: replace(preset, seed=seed) for seed, path in wanted}
                if config.distributed:
                    _check_there(skills)
                train_missing(skills)
        find(config)
        if hierarchy.needs_discovered:
            for path in dict.fromkeys(skill_paths(config).values()):
                _say_doubts(path)
    elif hierarchy.skills_dir is not None and hierarchy.skills_dir.exists():
        check_unchanged(config)


def _say_doubts(path: Path) -> None:
    """A line for each test that skills in ``path`` have failed."""
    for member in RunDirectory.open(path, SkillsRunConfig).members():
        accepted = read_result(member.path / "skills.json", Acceptance).get("accepted") or {}
        for test in (name for name, passed in accepted.items() if not passed):
            print(f"skills in {member.path} are doubtful: not {test}", file=sys.stderr)


def _check_there(skills: Mapping[Path, RunConfig]) -> None:
    """Raises UsageError where skills are missing, which each process would discover for itself."""
    for path, config in skills.items():
        if command_of(config, path) is not None:
            raise UsageError(
                f"distributed: the skills in {path} are missing or not finished; one process has "
                "to discover them first: the same command without --distributed, or `make skills`"
            )


def check_unchanged(config: Config) -> None:
    """Raises UsageError where the skills are not there, or not those that a run remembers."""
    if find(config) != source_of(config):
        where = ", ".join(str(path) for path in skill_paths(config).values())
        raise UsageError(
            f"hierarchy.skills_dir: {where} has other skills now than those that the run in "
            f"{config.run_dir} was started with"
        )


def source_of(config: Config) -> SkillSource:
    """The skills that a run was started with; of a new one, those that it is to start with.

    Raises:
      UsageError: they are not there, not finished, or do not fit.
    """
    return _remembered(config) or find(config)


def find(config: Config) -> SkillSource:
    """The skills that ``config`` describes, from where they were discovered."""
    hierarchy = config.hierarchy
    if hierarchy.skills == "random":
        return SkillSource(SKILL_PRESETS[hierarchy.skill_preset].skills, ())
    runs = [run_of(path, seed) for seed, path in skill_paths(config).items()]
    for run in runs:
        check_fits(config, run.config, f"hierarchy.skills_dir: {run.path}")
    origins = (Origin(str(r.path), r.run_id, settings_id(r.config)) for r in runs)
    return SkillSource(runs[0].config.skills, tuple(origins))


def run_of(path: Path, seed: int) -> RunDirectory[SkillsRunConfig]:
    """A finished run of skills, or that of one seed where it has several.

    Raises:
      UsageError: it is none, is not finished, or lacks the seed.
    """
    group = RunDirectory.open(path, SkillsRunConfig)
    by_seed = {member.config.seed: member for member in group.members()}
    if group.config.num_seeds > 1 and seed not in by_seed:
        raise UsageError(f"hierarchy.skills_dir: {path} has no seed {seed}")
    run = by_seed[seed] if group.config.num_seeds > 1 else group
    if not is_tested(run):
        raise UsageError(
            f"hierarchy.skills_dir: {path} is not finished and has no skills.json; "
            f"`make skills` goes on with --resume --run-dir {path}"
        )
    return run


def check_fits(config: Config, skills: SkillsRunConfig, whose: str) -> None:
    """Raises UsageError where the skills of ``whose`` do not fit a run."""
    if skills.env.name != config.env.name:
        raise UsageError(f"{whose} is of env.name {skills.env.name}, not {config.env.name}")
    space = skills.skills.skill_space
    if space != "categorical":
        raise UsageError(f"{whose} has skills.skill_space {space}; it has to be categorical")


def write_source(run: RunDirectory[Config], source: SkillSource) -> None:
    """Writes the skills' description into a run."""
    write_json(_file(run.path), asdict(source))


def _remembered(config: Config) -> SkillSource | None:
    """What ``write_source`` wrote, if it did.

    Raises:
      UsageError: it cannot be read.
    """
    file = None if config.run_dir is None else _file(config.run_dir)
    if file is None or not file.exists():
        return None
    try:
        content = read_json(file)
        origins = [dataclass_from(Origin, origin, "origins.") for origin in content["origins"]]
        return SkillSource(dataclass_from(SkillConfig, content["config"]), tuple(origins))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file}: cannot be read ({error!r})") from error


def _file(run_dir: Path) -> Path:
    return run_dir / "skill_source.json"


def skill_paths(config: Config) -> dict[int, Path]:
    """By seed, the directory of the run that has its skills, alone or among others."""
    hierarchy, seeds = config.hierarchy, range(config.seed, config.seed + config.num_seeds)
    usual = {seed: ROOT / f"{hierarchy.skill_preset}-seed{seed}" for seed in seeds}
    return {seed: hierarchy.skills_dir or path for seed, path in usual.items()}
