"""What is timed: a case is one program of one preset, at some size. Nothing here starts jax."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from config import Config, MetaTestConfig, RunConfig, SkillsRunConfig
from explorax.config import Optimizer, require
from presets import PRESETS, SUITES
from skill_presets import SKILL_PRESETS

Program = Literal[
    "physics",  # the environment's steps of one update, with actions that are given
    "acting",  # its rollouts, with a policy that has no network
    "rollout",  # its rollouts
    "stages",  # and baselines, advantages and the inner step
    "update",  # the whole of it, as `make train` runs it
    "metatest",
    "host_loop",  # the same update without jax: MuJoCo C and PyTorch
    "mujoco_c",  # MuJoCo C alone, on all cores
    "matmul",  # the largest products per second of the devices
    "devices",  # no program: what devices there are
]
PHASES: tuple[Program, ...] = ("physics", "acting", "rollout", "stages", "update")
"""Each is a part of the next one."""

MATRIX: tuple[str, ...] = (
    "push-hmrl-latent",
    "push-hmrl-skills",
    "push-diayn",
    *(preset.preset for suite in SUITES.values() for preset in suite),
)
"""Every algorithm on Push, then the other suites."""

TESTED = MetaTestConfig(num_tasks=20, num_iterations=3, num_episodes=20)
"""The timed meta-test: fewer tasks and iterations than a run's, as many episodes."""


@dataclass(frozen=True)
class Case:
    """One program, for a process of its own. 0 and None: as the preset has it."""

    program: Program
    preset: str = "push-maesn"
    num_tasks: int = 0
    num_episodes: int = 0  # per task and stage; of skills, per iteration
    optimizer: Optimizer | None = None
    num_seeds: int = 1
    devices: int = 0  # 0: every accelerator, or one CPU device per core
    threads: int = 1  # host loop only: PyTorch's
    workers: int = 1  # host loop only: processes that sample
    batched: bool = False  # host loop only: observations and rewards of all environments at once
    repeats: int = 5
    budget_s: float = 5.0  # of the timed calls, of which there are two in any case
    cached: bool = True  # compile a second time, from the cache
    trace_dir: str | None = None  # where a profile of one more call goes

    def __post_init__(self):
        require(self.program in get_args(Program), "program", f"there is no '{self.program}'")
        known = self.preset in PRESETS or self.preset in SKILL_PRESETS
        require(known, "presets", f"there is no preset '{self.preset}'")


def config_of(case: Case) -> RunConfig:
    """The run that a case times a part of.

    Trained skills are replaced by untrained ones of the same kind: the speed is the same.

    Raises:
      ValueError: the preset cannot have these sizes.
    """
    train: Any = {"num_seeds": case.num_seeds}
    if case.preset in SKILL_PRESETS:
        preset = SKILL_PRESETS[case.preset]
        skills = replace(preset.skills, **_given(num_episodes=case.num_episodes))
        loop = replace(preset.train, devices=case.devices)
        return replace(preset, skills=skills, train=loop, **train)
    preset = PRESETS[case.preset]
    sizes = _given(meta_batch_size=case.num_tasks, num_episodes=case.num_episodes)
    meta = replace(preset.meta, **sizes, **_given(optimizer=case.optimizer))
    hierarchy = preset.hierarchy
    # the same programs, without skills that would have to be discovered first
    if hierarchy.skills == "trained":
        hierarchy = replace(hierarchy, skills="random")
    elif hierarchy.skills == "distilled":
        hierarchy = replace(hierarchy, skills="none")
    loop = replace(preset.train, devices=case.devices)
    return replace(preset, meta=meta, hierarchy=hierarchy, train=loop, **train)


def metatest_of(case: Case) -> MetaTestConfig:
    """The sizes of a case's meta-test."""
    return replace(TESTED, **_given(num_tasks=case.num_tasks, num_episodes=case.num_episodes))


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def programs_of(preset: str) -> tuple[Program, ...]:
    """The programs that runs of a preset spend their time in."""
    if preset in SKILL_PRESETS:
        return ("update",)
    config = PRESETS[preset]
    if config.train.num_iterations == 0:
        return ("metatest",)
    return (*(["rollout"] if has_parts(config) else []), "update", "metatest")


def has_parts(config: RunConfig) -> bool:
    """Whether parts of an update can be timed: where actions need no memory and no skills below."""
    return (
        isinstance(config, Config)
        and config.meta.memory_size == 0
        and config.hierarchy.skills == "none"
    )


def name_of(case: Case) -> str:
    """Tells a case from all others of a history."""
    if case.program in ("matmul", "devices"):
        return f"{case.program}{_devices(case)}"
    config = config_of(case)
    if case.program == "mujoco_c":
        return f"{config.env.name} mujoco_c"
    parts = [case.preset, case.program, _sizes(case, config)]
    if case.program in ("update", "host_loop") and isinstance(config, Config):
        parts.insert(2, config.meta.optimizer)
    if case.num_seeds > 1:
        parts.append(f"seeds={case.num_seeds}")
    if case.program == "host_loop":
        parts.append(f"threads={case.threads} workers={case.workers}")
        parts += ["batched"] if case.batched else []
    return " ".join(parts) + _devices(case)


def _sizes(case: Case, config: RunConfig) -> str:
    if isinstance(config, SkillsRunConfig):
        return str(config.skills.num_episodes)
    assert isinstance(config, Config)
    if case.program == "metatest":
        test = metatest_of(case)
        return f"{test.num_tasks}x{test.num_episodes}"
    return f"{config.meta.meta_batch_size}x{config.meta.num_episodes}"


def _devices(case: Case) -> str:
    return f" devices={case.devices}" if case.devices else ""


def trace_directory(root: Path | None, case: Case) -> str | None:
    """Where a case's profile goes, below the directory that was asked for."""
    return None if root is None else str(root / name_of(case).replace(" ", "_"))
