"""The runs that the ablation of the hierarchical combination on Push is made of."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import suite_runs
from config import HORIZON, Config, SkillsRunConfig
from explorax.config import DEMONSTRATIONS
from presets import PRESETS
from skill_presets import SKILL_PRESETS
from skill_sources import skill_paths
from variations import changed

Reward = Literal["dense", "sparse"]

ROOT = Path("runs/ablation")
"""Where those runs are kept that no suite has."""
ENV_STEPS = suite_runs.ENV_STEPS["small"]["push"]
"""Environment steps of meta-training, those of discovering skills counted."""

ROWS = {
    "scratch": "push-scratch",
    "rnd": "push-rnd",
    "maml": "push-maml",
    "latent-space": "push-latent-space",
    "maesn": "push-maesn",
    "diayn-scratch": "push-hmrl-scratch",
    "diayn-maml": "push-hmrl-maml",
    "hmrl-random": "push-hmrl-random",
    "hmrl-latent": "push-hmrl-latent",
    "hmrl-skills": "push-hmrl-skills",
    "hmrl-distilled": "push-hmrl-distilled",
}
"""The preset of every row that is a run."""

SKILLED = "hmrl-skills"
BEST_SKILL = "best-skill"
"""The row that is no run: what the skills of SKILLED score by themselves."""

VARIED = ("maesn", "hmrl-latent", "hmrl-skills")
"""The rows that variants are to be seen beside."""

_OPTIONS, _LATENTS = "hierarchy.options", "hierarchy.latent_skills"

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "hmrl-latent-beta0.01": ("hmrl-latent", {f"{_LATENTS}.intrinsic_coef": 0.01}),
    "hmrl-latent-beta0.03": ("hmrl-latent", {f"{_LATENTS}.intrinsic_coef": 0.03}),
    "hmrl-latent-beta0.3": ("hmrl-latent", {f"{_LATENTS}.intrinsic_coef": 0.3}),
    "hmrl-latent-beta1": ("hmrl-latent", {f"{_LATENTS}.intrinsic_coef": 1.0}),
    # to 0 at the end of training, not at half the weight
    "hmrl-latent-annealed": (
        "hmrl-latent",
        {f"{_LATENTS}.schedule": "annealed", f"{_LATENTS}.anneal_iterations": 150},
    ),
    "hmrl-latent-learned": ("hmrl-latent", {f"{_LATENTS}.schedule": "learned"}),
    "hmrl-latent-full": ("hmrl-latent", {f"{_LATENTS}.features": "full"}),
    "hmrl-skills-full": ("hmrl-skills", {"hierarchy.skill_preset": "push-diayn-full"}),
    "hmrl-skills-blocks": ("hmrl-skills", {"hierarchy.skill_preset": "push-diayn-blocks"}),
    "hmrl-skills-k20": ("hmrl-skills", {"hierarchy.skill_preset": "push-diayn-20"}),
    "hmrl-skills-k100": ("hmrl-skills", {"hierarchy.skill_preset": "push-diayn-100"}),
    "hmrl-skills-c1": ("hmrl-skills", {f"{_OPTIONS}.length": 1}),
    "hmrl-skills-c5": ("hmrl-skills", {f"{_OPTIONS}.length": 5}),
    "hmrl-skills-c25": ("hmrl-skills", {f"{_OPTIONS}.length": 25}),
    "hmrl-skills-beta0.1": ("hmrl-skills", {f"{_OPTIONS}.intrinsic_coef": 0.1}),
    "hmrl-skills-beta1": ("hmrl-skills", {f"{_OPTIONS}.intrinsic_coef": 1.0}),
    "hmrl-skills-residual": ("hmrl-skills", {f"{_OPTIONS}.residual": True}),
    # the inner step moves the controller as well as its latents
    "hmrl-skills-both": ("hmrl-skills", {"meta.adapt": "both"}),
}
"""The row that each variant changes, and the fields in which it does."""

NAMES = (*ROWS, BEST_SKILL, *VARIANTS)
"""All that can be drawn."""


class Run(NamedTuple):
    """The run of one row, of several seeds."""

    path: Path
    config: Config


def steps_of_skills(config: Config) -> int:
    """Environment steps in which one seed's skills are discovered, and shown; 0 where none are."""
    if not config.hierarchy.needs_discovered:
        return 0
    found, horizon = SKILL_PRESETS[config.hierarchy.skill_preset], HORIZON[config.env.name]
    num_episodes = found.train.num_iterations * found.skills.num_episodes
    if config.hierarchy.skills == "distilled":
        num_episodes += DEMONSTRATIONS * config.meta.num_train_tasks
    return num_episodes * horizon


def steps_of_meta_training(config: Config) -> int:
    """Environment steps of one seed before it meets a held-out task, without those of skills."""
    return config.train.num_iterations * config.meta.steps_per_update(HORIZON[config.env.name])


def config_of(name: str, reward: Reward = "dense", num_seeds: int = 1) -> Config:
    """What a row or a variant is.

    Args:
      name: the row, or the variant.
      reward: of meta-training; without any, the test's is all there is, and it is as in the preset.
      num_seeds: in one program.
    """
    row, fields = VARIANTS.get(name, (name, {}))
    suite = {config.preset: config for config in suite_runs.configs("push", "small", num_seeds)}
    config = changed(suite.get(ROWS[row], PRESETS[ROWS[row]]), {"num_seeds": num_seeds, **fields})
    if config.train.num_iterations == 0:
        return config
    if config.preset not in suite:
        # all of them, where skills are untrained
        left = ENV_STEPS - steps_of_skills(config)
        num_iterations = left // config.meta.steps_per_update(HORIZON["push"])
        config = changed(config, {"train.num_iterations": num_iterations})
    return changed(config, {"env.reward": reward})


def run_of(name: str, reward: Reward, num_seeds: int, root: Path = ROOT) -> Run:
    """A row's run and where it is: the figure's where that has it, else below ``root``.

    A row without meta-training is one run, whatever the reward of the others' meta-training.
    """
    config = config_of(name, reward, num_seeds)
    if config in suite_runs.configs("push", "small", num_seeds):
        where = suite_runs.directory(suite_runs.ROOT, "push", "small", num_seeds)
        return Run(where / config.preset, config)
    trained_with = reward if config.train.num_iterations > 0 else "either"
    return Run(root / f"push-{trained_with}-{num_seeds}seeds" / name, config)


def skill_runs(num_seeds: int) -> dict[Path, SkillsRunConfig]:
    """The runs of every seed's skills, those of SKILLED, by their directories."""
    config = config_of(SKILLED, num_seeds=num_seeds)
    preset = SKILL_PRESETS[config.hierarchy.skill_preset]
    return {path: replace(preset, seed=seed) for seed, path in skill_paths(config).items()}


def default_names(variants: bool) -> Sequence[str]:
    """All rows, or all variants beside the rows that they vary."""
    return (*VARIED, *VARIANTS) if variants else (*ROWS, BEST_SKILL)
