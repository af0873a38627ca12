"""Settings by name. Each runs as it stands; flags override single fields."""

from dataclasses import replace
from itertools import chain
from typing import Any, Literal, cast

from config import Config, EnvConfig, HierarchyConfig, MetaTestConfig, PresetName, TrainConfig
from explorax.algos.latent_space import latent_space
from explorax.algos.maesn import maesn
from explorax.algos.maml import maml
from explorax.algos.rl2 import rl2
from explorax.algos.scratch import scratch
from explorax.config import LatentSkillConfig, MetaConfig, Optimizer, OptionConfig, TRPOConfig

SuiteName = Literal["push", "wheeled", "ant"]

# Gupta et al. 2018 (arXiv 1802.07245) and its public code: 500 iterations of TRPO, 20 tasks of 50
# episodes, mu_i ~ N(0, 1), inner step sizes that start at 1, boxes.
PUSH_MAESN_PAPER = Config(
    preset="push-maesn-paper",
    env=EnvConfig(block_shape="box", physics="exact"),
    meta=maesn(
        meta_batch_size=20,
        num_episodes=50,
        init_latent_std=1.0,
        inner_lr_mean=1.0,
        kl_coef=0.1,
        trpo=TRPOConfig(curvature_stride=1),
    ),
    train=TrainConfig(num_iterations=500),
    metatest=MetaTestConfig(num_iterations=100),
)

# The prior's pull (w) is stronger than on Push, where tasks in outer bands are served by latents of
# their own: here a new task has to find its direction from the prior.
POINT_MAESN = Config(
    preset="point-maesn",
    env=EnvConfig(name="point"),
    meta=maesn(optimizer="ppo", num_episodes=20, hidden_sizes=(32, 32), latent_dim=4, kl_coef=0.5),
    train=TrainConfig(num_iterations=150, chunk_size=25, checkpoint_every=50),
)

# DIAYN's skills below, MAESN above. An episode of Push is ten choices in place of 100 actions: TRPO
# may go further at each. The skills' own 4 million steps and these 20 are as many as MAESN's.
PUSH_HMRL = Config(
    preset="push-hmrl-skills",
    env=EnvConfig(name="push"),
    meta=maesn(trpo=TRPOConfig(max_kl=0.1, curvature_stride=1)),
    hierarchy=HierarchyConfig(skills="trained", skill_preset="push-diayn"),
    train=TrainConfig(num_iterations=125),
)

POINT_HMRL = Config(
    preset="point-hmrl-skills",
    env=EnvConfig(name="point"),
    meta=replace(
        POINT_MAESN.meta, optimizer="trpo", trpo=TRPOConfig(max_kl=0.1, curvature_stride=1)
    ),
    hierarchy=HierarchyConfig(
        skills="trained", skill_preset="point-diayn", options=OptionConfig(length=5)
    ),
    train=TrainConfig(num_iterations=50, chunk_size=25, checkpoint_every=50),
)

# MAESN whose latents are skills as well, at as many steps as with skills below.
PUSH_HMRL_LATENT = Config(
    preset="push-hmrl-latent",
    env=EnvConfig(name="push"),
    meta=maesn(),
    hierarchy=HierarchyConfig(
        skills="latent", latent_skills=LatentSkillConfig(features="blocks_hand")
    ),
    train=TrainConfig(num_iterations=150),
)

# MAESN from a policy that does what skills do, whose steps count, as their demonstrations do.
PUSH_HMRL_DISTILLED = Config(
    preset="push-hmrl-distilled",
    env=EnvConfig(name="push"),
    meta=maesn(),
    hierarchy=HierarchyConfig(skills="distilled", skill_preset="push-diayn"),
    train=TrainConfig(num_iterations=122),
)

POINT_HMRL_LATENT = Config(
    preset="point-hmrl-latent",
    env=EnvConfig(name="point"),
    meta=POINT_MAESN.meta,
    hierarchy=HierarchyConfig(
        skills="latent", latent_skills=LatentSkillConfig(features="position")
    ),
    train=POINT_MAESN.train,
)

POINT_HMRL_DISTILLED = replace(
    POINT_MAESN,
    preset="point-hmrl-distilled",
    hierarchy=HierarchyConfig(skills="distilled", skill_preset="point-diayn"),
)

POINT_RL2 = Config(
    preset="point-rl2",
    env=EnvConfig(name="point"),
    meta=rl2(num_episodes=8, hidden_sizes=(32,), memory_size=32),
    train=TrainConfig(num_iterations=150, chunk_size=25, checkpoint_every=50),
)


def decaying(preset: str, num_iterations: int, meta: MetaConfig, **overrides: Any) -> Config:
    """A run whose step size, if by ppo, falls to 0 at its end: without, later is not better."""
    ppo = replace(meta.ppo, decay_iterations=num_iterations)
    train = TrainConfig(num_iterations=num_iterations)
    meta = replace(meta, ppo=ppo)
    return Config(preset=cast(PresetName, preset), meta=meta, train=train, **overrides)


def alone(preset: str, num_iterations: int, meta: MetaConfig, env: EnvConfig) -> Config:
    """Every held-out task by itself, without meta-training."""
    return Config(
        preset=cast(PresetName, preset),
        env=env,
        meta=meta,
        train=TrainConfig(num_iterations=0),
        metatest=MetaTestConfig(num_iterations=num_iterations),
    )


def point_alone(preset: str, **curiosity: Any) -> Config:
    """Alone on the point robot, where a random walk hardly ever comes to the goal.

    A step at the goal earns about 1 more than elsewhere; the bonus has to stay below that. While
    nothing was earned its weight does not matter: advantages are standardised.
    """
    meta = scratch(hidden_sizes=(32, 32), curiosity_coef=0.1, **curiosity)
    return alone(preset, 50, meta, EnvConfig(name="point"))


def suite(
    name: SuiteName, num_iterations: int, num_episodes: int, optimizer: Optimizer
) -> tuple[Config, ...]:
    """Every method on one suite, at as many environment steps, or without meta-training.

    Args:
      name: the suite.
      num_iterations: of the methods with one inner step.
      num_episodes: per task and stage.
      optimizer: the outer step of MAESN and LatentSpace; MAML's is ppo.
    """
    env = EnvConfig(name=name)
    with_latents = {"num_episodes": num_episodes, "optimizer": optimizer}
    # five episodes a trial where the others have two stages
    trials = 2 * num_episodes // 5
    # a step near the goal earns 1 to 3 more than elsewhere, on the point robot 1 at most
    curious = scratch(curiosity="rnd", curiosity_coef=0.3)
    return (
        decaying(f"{name}-maesn", num_iterations, maesn(**with_latents), env=env),
        # one stage an iteration instead of two
        decaying(f"{name}-latent-space", 2 * num_iterations, latent_space(**with_latents), env=env),
        decaying(f"{name}-maml", num_iterations, maml(num_episodes=num_episodes), env=env),
        decaying(f"{name}-rl2", num_iterations, rl2(num_episodes=trials), env=env),
        alone(f"{name}-scratch", 100, scratch(), env),
        alone(f"{name}-rnd", 100, curious, env),
    )


# Episodes of Wheeled and Ant have 200 steps: half as many give as many steps an iteration. On Push
# trpo was best (results/README.md), for MAML no better than ppo, nor on Wheeled; Ant was not tried.
SUITES: dict[SuiteName, tuple[Config, ...]] = {
    "push": suite("push", 100, 40, "trpo"),
    "wheeled": suite("wheeled", 100, 20, "ppo"),
    "ant": suite("ant", 300, 20, "ppo"),
}

PRESETS: dict[str, Config] = {
    preset.preset: preset
    for preset in (
        *chain(*SUITES.values()),
        PUSH_MAESN_PAPER,
        PUSH_HMRL,
        replace(
            PUSH_HMRL,
            preset="push-hmrl-random",
            hierarchy=replace(PUSH_HMRL.hierarchy, skills="random"),
        ),
        replace(
            PUSH_HMRL,
            preset="push-hmrl-maml",
            meta=maml(optimizer="trpo", trpo=PUSH_HMRL.meta.trpo),
        ),
        replace(
            PUSH_HMRL,
            preset="push-hmrl-scratch",
            meta=scratch(trpo=PUSH_HMRL.meta.trpo),
            train=TrainConfig(num_iterations=0),
            metatest=MetaTestConfig(num_iterations=100),
        ),
        PUSH_HMRL_LATENT,
        PUSH_HMRL_DISTILLED,
        POINT_HMRL,
        POINT_HMRL_LATENT,
        POINT_HMRL_DISTILLED,
        POINT_MAESN,
        POINT_RL2,
        point_alone("point-scratch"),
        point_alone("point-rnd", curiosity="rnd"),
        point_alone("point-counts", curiosity="counts"),
    )
}
