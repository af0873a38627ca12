"""Hierarchical meta-RL: skills found without a reward below, MAESN (or MAML) above.

DIAYN's skills are frozen. A controller pi_theta(k | s, z) chooses one every c steps, z ~ N(mu_i,
sigma_i) once per episode; its latents, or theta, adapt as in MAESN or MAML, from the reward of
whole options. Exploration is then stochastic (skills are max-entropy policies), task-agnostic
(skills) and task-based (latents) at once.

Where to read it:
  skills                           diayn
  a skill acts for c steps         options.Options
  pi_theta(k | s, z)               nets.controller_policy
  adaptation, outer step           as maesn, maml
"""

from dataclasses import replace

from jax.sharding import Mesh

from explorax import meta_update
from explorax.config import MetaConfig, OptionConfig
from explorax.meta_update import MetaLearner
from explorax.nets import controller_policy
from explorax.options import Options, SkillSet
from explorax.types import Env


def build(
    env: Env, skills: SkillSet, options: OptionConfig, config: MetaConfig, mesh: Mesh
) -> MetaLearner:
    """The meta-learner that ``config`` describes, as a controller of ``skills``.

    Args:
      env: static environment.
      skills: frozen.
      options: how the controller uses them.
      config: the method; its discount is per control step.
      mesh: from ``task_mesh``.
    """

    def above(env: Env) -> Options:
        return Options(env, skills, options, config.discount)

    outside = above(env)
    policy = controller_policy(
        env.observation_size,
        skills.size,
        outside.residual_size,
        config.latent_dim,
        config.hidden_sizes,
        options.init_residual_std,
    )
    learner = meta_update.build(outside, per_option(config, options), mesh, policy)
    return learner._replace(
        adapt=lambda env, *args: learner.adapt(above(env), *args),
        steps_per_update=config.steps_per_update(env.horizon),
    )


def per_option(config: MetaConfig, options: OptionConfig) -> MetaConfig:
    """``config`` for steps that are options: the discount from one to the next is gamma^c."""
    return replace(config, discount=config.discount**options.length)
