"""The outer step: the surrogate after adaptation and the two optimisers that improve it."""

import math
from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from explorax import distributions
from explorax.adapt import Batch, StepSizes, along_time, inner_step
from explorax.config import MetaConfig
from explorax.nets import Policy
from explorax.rollout import TaskParams
from explorax.trust_region import trust_region_step
from explorax.types import Gaussian, Metrics, PyTree


class MetaParams(NamedTuple):
    """What the outer step learns."""

    policy: PyTree  # theta
    latent: Gaussian  # (mu_i, log sigma_i) of every training task, leaves (N, L)
    step_sizes: StepSizes  # alpha


class TaskLoss(NamedTuple):
    """The terms of one task's outer loss."""

    loss: Float[Array, ""]  # to minimise
    kl_policy: Float[Array, ""]  # mean action KL(sampling || new), nats
    kl_latent: Float[Array, ""]  # KL(N(mu_i, sigma_i) || N(0, I)), nats
    clip_fraction: Float[Array, ""]  # share of steps whose ratio the clip holds back


def frozen_step_sizes(config: MetaConfig, step_sizes: StepSizes) -> StepSizes:
    """alpha without a gradient where it is not to be learned."""
    return step_sizes if config.learn_inner_lr else jax.lax.stop_gradient(step_sizes)


def adapt_again(policy: Policy, config: MetaConfig, meta: MetaParams, i: Array, batch: Batch):
    """The inner loop on recorded episodes, as a differentiable function of ``meta``."""
    params = TaskParams(jax.tree.map(lambda x: x[i], meta.latent), meta.policy)
    step_sizes = frozen_step_sizes(config, meta.step_sizes)
    for stage in range(config.num_inner_steps):
        stage_batch = jax.tree.map(lambda x: x[stage], batch)  # noqa: B023
        params = inner_step(policy, config.adapt, params, step_sizes, stage_batch)
    return params


def task_loss(
    policy: Policy,
    config: MetaConfig,
    meta: MetaParams,
    task_index: Int[Array, ""],
    batch: Batch,
    stride: int = 1,
) -> TaskLoss:
    """One task's outer loss (MAESN, eq. 5, negated).

    The surrogate is mean_{k,t} ratio * advantage on the post-update episodes, with
    z' = mu' + eps * sigma' recomputed from the recorded eps, so that its gradient reaches mu,
    sigma and alpha through z' (pathwise) and theta directly.

    Args:
      policy: pi_theta(a | s, z).
      config: the meta-learner.
      meta: where to evaluate.
      task_index: row of ``meta.latent``.
      batch: the task's stages, leading axis S = num_inner_steps + 1; the last is post-update.
      stride: use every n-th control step only.
    """
    params = adapt_again(policy, config, meta, task_index, batch)
    post = jax.tree.map(lambda x: x[-1], batch)
    trajectory = post.trajectory
    z = distributions.sample(params.latent, trajectory.latent_noise)
    every = lambda x: x[:, ::stride]  # noqa: E731
    obs, old_dist = every(trajectory.obs), jax.tree.map(every, trajectory.action_dist)
    dist = policy.apply(params.policy, obs, along_time(z, obs))
    log_prob = distributions.log_prob(dist, every(trajectory.action))
    ratio = jnp.exp(log_prob - every(trajectory.log_prob))
    advantage = every(post.advantage)
    surrogate = ratio * advantage
    clip_fraction = jnp.zeros(())
    if config.optimizer == "ppo":
        epsilon = config.ppo.clip_epsilon
        clipped = jnp.clip(ratio, 1.0 - epsilon, 1.0 + epsilon) * advantage
        clip_fraction = jnp.mean(clipped < surrogate)
        surrogate = jnp.minimum(surrogate, clipped)
    pre_latent = jax.tree.map(lambda x: x[task_index], meta.latent)
    kl_latent = distributions.kl(pre_latent, distributions.standard_normal_like(pre_latent))
    loss = -jnp.mean(surrogate) + config.kl_coef * kl_latent
    if config.optimizer == "ppo" and config.ppo.entropy_coef > 0:
        counted = jnp.minimum(dist.log_std, math.log(config.ppo.entropy_max_std))
        loss -= config.ppo.entropy_coef * jnp.mean(jnp.sum(counted, axis=-1))
    kl_policy = jnp.mean(distributions.kl(old_dist, dist))
    return TaskLoss(loss, kl_policy, kl_latent, clip_fraction)


def mean_task_loss(
    policy: Policy,
    config: MetaConfig,
    task_index: Int[Array, " N"],
    batch: Batch,
    stride: int = 1,
) -> Callable[[MetaParams], TaskLoss]:
    """MetaParams -> TaskLoss averaged over the (local) tasks; ``batch`` has axes (S, N)."""

    def mean_loss(meta: MetaParams) -> TaskLoss:
        one_task = lambda i, b: task_loss(policy, config, meta, i, b, stride)  # noqa: E731
        per_task = jax.vmap(one_task, in_axes=(0, 1))
        return jax.tree.map(jnp.mean, per_task(task_index, batch))

    return mean_loss


def ppo_outer_step(
    mean_loss: Callable[[MetaParams], TaskLoss],
    meta: MetaParams,
    opt_state: optax.OptState,
    config: MetaConfig,
    reduce: Callable[[PyTree], PyTree],
) -> tuple[MetaParams, optax.OptState, Metrics]:
    """A few full-batch Adam steps on the clipped surrogate (Schulman 2017, eq. 7).

    Adam is dense: the latents of tasks that were not drawn move on by their momentum. The metrics
    ``kl_policy`` and ``clip_fraction`` are those before the last epoch: a pass after it would cost
    what a third of an epoch does.
    """
    optimizer = ppo_optimizer(config)

    def epoch(carry, _):
        meta, opt_state = carry

        def loss(m: MetaParams):
            terms = mean_loss(m)
            return terms.loss, terms

        gradient, terms = jax.grad(loss, has_aux=True)(meta)
        gradient, terms = reduce((gradient, terms))
        updates, opt_state = optimizer.update(gradient, opt_state, meta)
        norm = optax.tree_utils.tree_norm(gradient)
        meta = cast(MetaParams, optax.apply_updates(meta, updates))
        return (meta, opt_state), (terms, norm)

    (meta, opt_state), (terms, norm) = jax.lax.scan(
        epoch, (meta, opt_state), length=config.ppo.num_epochs
    )
    last = jax.tree.map(lambda x: x[-1], terms)
    metrics = {
        "kl_policy": last.kl_policy,
        "clip_fraction": last.clip_fraction,
        "gradient_norm": norm[0],
    }
    return meta, opt_state, metrics


def ppo_optimizer(config: MetaConfig) -> optax.GradientTransformation:
    """Adam; its moments live in the train state."""
    return optax.adam(config.ppo.learning_rate)


def trpo_outer_step(
    mean_loss: Callable[[MetaParams], TaskLoss],
    curvature_loss: Callable[[MetaParams], TaskLoss],
    meta: MetaParams,
    config: MetaConfig,
    reduce: Callable[[PyTree], PyTree],
) -> tuple[MetaParams, Metrics]:
    """One trust-region step on theta, the latents and alpha together."""

    def loss_and_kl(m: MetaParams):
        terms = mean_loss(m)
        return terms.loss, terms.kl_policy

    new_meta, info = trust_region_step(
        loss_and_kl, lambda m: curvature_loss(m).kl_policy, meta, config.trpo, reduce
    )
    metrics = {
        "kl_policy": info.kl,
        "line_search_ok": info.accepted.astype(jnp.float32),
    }
    return new_meta, metrics
