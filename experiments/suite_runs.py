"""The runs that the figure of a suite is drawn from."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from config import HORIZON, Config
from presets import SUITES, SuiteName, decaying

Budget = Literal["small", "paper"]

ROOT = Path("runs/figure")
"""Where the runs of suites are kept."""

ENV_STEPS: dict[Budget, dict[SuiteName, int]] = {
    "small": {"push": 24_000_000, "wheeled": 24_000_000, "ant": 48_000_000},
    # 500 iterations of 20 tasks and 50 episodes, before and after adaptation
    "paper": {"push": 100_000_000, "wheeled": 200_000_000, "ant": 200_000_000},
}
"""Environment steps of meta-training, the same for all methods of a suite."""


def directory(root: Path, suite: SuiteName, budget: Budget, num_seeds: int) -> Path:
    """Where below ``root`` a suite's runs are, each in the directory of its preset."""
    return root / f"{suite}-{budget}-{num_seeds}seeds"


def configs(suite: SuiteName, budget: Budget, num_seeds: int) -> list[Config]:
    """One run of several seeds per method."""
    steps = ENV_STEPS[budget][suite]
    runs = [replace(at_steps(c, steps, HORIZON[suite]), num_seeds=num_seeds) for c in SUITES[suite]]
    return runs if budget == "small" else [as_in_paper(run) for run in runs]


def at_steps(config: Config, env_steps: int, horizon: int) -> Config:
    """Meta-trained for so many environment steps, its step size falling to 0; or not at all."""
    if config.train.num_iterations == 0:
        return config
    num_iterations = max(1, round(env_steps / config.meta.steps_per_update(horizon)))
    return decaying(config.preset, num_iterations, config.meta, env=config.env)


def as_in_paper(config: Config) -> Config:
    """100 meta-test iterations, and the paper's blocks with as many solver steps as they need."""
    shape = "box" if config.env.name == "push" else config.env.block_shape
    env = replace(config.env, physics="exact", block_shape=shape)
    return replace(config, env=env, metatest=replace(config.metatest, num_iterations=100))
