"""Latent-space DIAYN: the latents of MAESN are skills, found and adapted in one meta-update.

DIAYN (Eysenbach et al. 2018, arXiv 1802.06070) draws a skill z once per episode and rewards what
tells skills apart; MAESN (Gupta et al. 2018, arXiv 1802.07245) draws a latent z once per episode
and adapts its distribution to a task. Here both are one z. A step earns, before adaptation,

    r + beta (log q_phi(z | f(s')) - log p(z)),   p(z) = N(0, I)

(Eysenbach, eq. 3), and r alone after it: adaptation starts from episodes that differ, and is judged
by the task. p is the prior to which MAESN's KL pulls the latents. On a new task the intrinsic
reward is paid only until one of its episodes has reached the goal.

Where to read it:
  the reward, q(z | f)             intrinsic.intrinsic_reward, skills.gaussian
  before and after adaptation      intrinsic.before_adaptation, adapt.unroll
  beta                             intrinsic.coefficient; learned: objective_with_gain
  phi by maximum likelihood        intrinsic.discriminator_step
  meta-test                        intrinsic.until_success
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray

from explorax import meta_update
from explorax.adapt import Batch, StepSizes
from explorax.config import LatentSkillConfig, MetaConfig, require
from explorax.intrinsic import (
    Intrinsic,
    again_weighted,
    before_adaptation,
    check_is_adapted,
    coefficient,
    discriminator_step,
    intrinsic_reward,
    make_intrinsic,
    until_success,
)
from explorax.meta_update import MetaLearner, MetaState, Method
from explorax.nets import Policy
from explorax.optimizers import OuterState, init_outer, minimise, outer_step
from explorax.outer import MetaParams, Objective, make_objective
from explorax.types import Env, Gaussian, Metrics, PyTree, Task

PHI = 0xD1A
"""Stream of the discriminator's first weights within the seed's key."""


class LatentSkillParams(NamedTuple):
    """What is learned, and how far beta's schedule is."""

    policy: PyTree  # theta
    latent: Gaussian  # (mu_i, log sigma_i) of every training task, leaves (N, L)
    step_sizes: StepSizes  # alpha
    log_gain: Float[Array, ""]  # beta = intrinsic_coef * exp(log_gain); 0 unless beta is learned
    updates: Int[Array, ""]  # meta-iterations done
    discriminator: PyTree  # phi


class LatentSkillOuter(NamedTuple):
    """What the optimisers carry from one meta-update to the next."""

    outer: OuterState  # of all but phi
    adam: optax.OptState  # phi's


class WithGain(NamedTuple):
    """What the outer step learns where it learns beta."""

    meta: MetaParams
    log_gain: Float[Array, ""]


def build(
    env: Env, features: tuple[int, ...], skills: LatentSkillConfig, config: MetaConfig, mesh: Mesh
) -> MetaLearner:
    """MAESN, or another method with a latent, whose latents are skills.

    Args:
      env: static environment.
      features: indices of f(s), what the discriminator sees, in an observation.
      skills: the intrinsic reward.
      config: the method.
      mesh: from ``task_mesh``.

    Raises:
      ValueError: the method has no latent, or no inner step to pay for.
    """
    check(skills, config)
    intrinsic = make_intrinsic(features, skills, config.latent_dim)
    method = Method(
        sample=partial(sample, intrinsic),
        improve=partial(improve, intrinsic),
        adapt=partial(adapt, intrinsic),
    )
    learner = meta_update.build(env, config, mesh, method=method)
    return learner._replace(init=lambda key: init_state(intrinsic, config, learner.init(key), key))


def check(skills: LatentSkillConfig, config: MetaConfig) -> None:
    """Raises ValueError for a method that cannot be paid an intrinsic reward."""
    because = "for latents that are skills"
    require(config.latent_dim > 0, "meta.latent_dim", f"must not be 0 {because}")
    check_is_adapted(config, because)
    require(
        skills.schedule != "learned" or config.estimator != "first_order",
        "meta.estimator",
        "must not be 'first_order' when latent_skills.schedule is 'learned'",
    )


def init_state(
    intrinsic: Intrinsic, config: MetaConfig, state: MetaState, key: PRNGKeyArray
) -> MetaState:
    """``state``, the method's own from the same key, with a discriminator that knows nothing."""
    phi = intrinsic.discriminator.init(jax.random.fold_in(key, PHI))
    gain, updates = jnp.zeros(()), jnp.zeros((), jnp.int32)
    is_learned = intrinsic.config.schedule == "learned"
    outer = init_outer(config, WithGain(state.params, gain)) if is_learned else state.outer
    return state._replace(
        params=LatentSkillParams(*state.params, gain, updates, phi),
        outer=LatentSkillOuter(outer, intrinsic.optimizer.init(phi)),
    )


def meta_params(params: LatentSkillParams) -> MetaParams:
    """What the method alone would have learned."""
    return MetaParams(params.policy, params.latent, params.step_sizes)


def sample(
    intrinsic: Intrinsic,
    env: Env,
    policy: Policy,
    config: MetaConfig,
    params: LatentSkillParams,
    task_index: Int[Array, " N"],
    tasks: Task,
    keys: PRNGKeyArray,
) -> Batch:
    """All stages of the drawn tasks, as ``meta_update.sample_stages``."""
    coef = coefficient(intrinsic.config, params.log_gain, params.updates)
    reward = partial(intrinsic_reward, intrinsic, params.discriminator)
    in_parts = intrinsic.config.schedule == "learned"
    appraisal = before_adaptation(reward, config, coef, in_parts)
    return meta_update.sample_stages(
        env, policy, config, meta_params(params), task_index, tasks, keys, appraisal
    )


def improve(
    intrinsic: Intrinsic,
    policy: Policy,
    config: MetaConfig,
    params: LatentSkillParams,
    state: LatentSkillOuter,
    task_index: Int[Array, " N"],
    batch: Batch,
    reduce: Callable[[PyTree], PyTree],
) -> tuple[LatentSkillParams, LatentSkillOuter, Metrics]:
    """The outer step on all but phi, as ``optimizers.outer_step``; then phi's own steps."""
    meta, gain = meta_params(params), params.log_gain
    if intrinsic.config.schedule == "learned":
        objective = objective_with_gain(intrinsic, policy, config, task_index, batch, reduce)
        (meta, gain), outer, metrics = minimise(
            objective, WithGain(meta, gain), state.outer, config, reduce
        )
    else:
        meta, outer, metrics = outer_step(
            policy, config, meta, state.outer, task_index, batch, reduce
        )
    phi, adam, found_out = discriminator_step(
        intrinsic, params.discriminator, state.adam, batch.trajectory, reduce
    )
    coef = coefficient(intrinsic.config, params.log_gain, params.updates)
    metrics |= found_out | {"intrinsic_coef": coef}
    learned = params._replace(
        **meta._asdict(), log_gain=gain, updates=params.updates + 1, discriminator=phi
    )
    return learned, LatentSkillOuter(outer, adam), metrics


def objective_with_gain(
    intrinsic: Intrinsic,
    policy: Policy,
    config: MetaConfig,
    task_index: Int[Array, " N"],
    batch: Batch,
    reduce: Callable[[PyTree], PyTree],
) -> Objective:
    """``outer.make_objective`` whose gradients reach beta too, through the inner step."""

    def given(log_gain: Array) -> Objective:
        coef = coefficient(intrinsic.config, log_gain, jnp.zeros((), jnp.int32))
        weigh = jax.vmap(jax.vmap(again_weighted, in_axes=(0, None)), in_axes=(0, None))
        return make_objective(policy, config, task_index, weigh(batch, coef), reduce)

    return Objective(
        loss=lambda learned: given(learned.log_gain).loss(learned.meta),
        act=lambda learned: given(learned.log_gain).act(learned.meta),
        kl=make_objective(policy, config, task_index, batch, reduce).kl,
    )


def adapt(
    intrinsic: Intrinsic,
    policy: Policy,
    config: MetaConfig,
    env: Env,
    params: LatentSkillParams,
    *args: Any,
) -> PyTree:
    """``AdaptFunction``: ``meta_update.adapt_from_prior``, from the intrinsic reward at first."""
    start = jnp.zeros_like(params.updates)
    coef = coefficient(intrinsic.config, params.log_gain, start)
    reward = partial(intrinsic_reward, intrinsic, params.discriminator)
    appraisal = until_success(reward, config, coef)
    meta = meta_params(params)
    return meta_update.adapt_from_prior(policy, config, env, meta, *args, appraisal=appraisal)
