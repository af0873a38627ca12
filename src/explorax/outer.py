"""The outer loss: the surrogate after adaptation, differentiable in all that is learned."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from explorax import distributions, returns
from explorax.adapt import Batch, StepSizes, act_given, inner_step
from explorax.config import MetaConfig
from explorax.nets import Policy
from explorax.rollout import TaskParams
from explorax.types import ActionDist, Gaussian, PyTree, Trajectory


class MetaParams(NamedTuple):
    """What the outer step learns."""

    policy: PyTree  # theta
    latent: Gaussian  # (mu_i, log sigma_i) of every training task, leaves (N, L)
    step_sizes: StepSizes  # alpha


class TaskLoss(NamedTuple):
    """The terms of one task's outer loss."""

    loss: Float[Array, ""]  # to minimise
    kl_policy: Float[Array, ""]  # mean action KL(sampling || new) after adaptation, nats
    kl_pre: Float[Array, ""]  # the same before adaptation, mean over stages; 0 unless promp
    kl_latent: Float[Array, ""]  # KL(N(mu_i, sigma_i) || N(0, I)), nats
    clip_fraction: Float[Array, ""]  # share of steps whose ratio the clip holds back


class Objective(NamedTuple):
    """What an outer step improves, as functions of all that is learned."""

    loss: Callable[[PyTree], TaskLoss]
    """learned -> loss averaged over the (local) tasks"""
    act: Callable[[PyTree], ActionDist]
    """learned -> actions after adaptation at every trpo.curvature_stride-th step, axes (N, K, T)"""
    kl: Callable[[ActionDist], Float[Array, ""]]
    """what ``act`` gives -> its mean KL from the sampling policy, nats"""


def frozen_step_sizes(config: MetaConfig, step_sizes: StepSizes) -> StepSizes:
    """alpha without a gradient where it is not to be learned."""
    return step_sizes if config.learn_inner_lr else jax.lax.stop_gradient(step_sizes)


def adapt_again(
    policy: Policy, config: MetaConfig, meta: MetaParams, i: Array, batch: Batch
) -> list[TaskParams]:
    """The inner loop on recorded episodes, as a differentiable function of ``meta``.

    Returns:
      The parameters of every stage: the task's own, then those after each inner step.
    """
    stages = [TaskParams(jax.tree.map(lambda x: x[i], meta.latent), meta.policy)]
    step_sizes = frozen_step_sizes(config, meta.step_sizes)
    for batch_s in at_stages(batch)[:-1]:
        stages.append(inner_step(policy, config, stages[-1], step_sizes, batch_s))
    return stages


def at_stages(batch: Batch) -> list[Batch]:
    """One task's batch with a leading axis S, stage by stage."""
    num_stages = batch.episode_advantage.shape[0]
    return [jax.tree.map(lambda x, s=s: x[s], batch) for s in range(num_stages)]


def act_again(
    policy: Policy, params: TaskParams, trajectory: Trajectory, stride: int = 1
) -> ActionDist:
    """Action distributions of recorded episodes under ``params``, every n-th step's.

    z = mu + eps * sigma from the recorded eps: a gradient reaches mu and sigma through it.

    Args:
      policy: pi_theta(a | s, z).
      params: the task's.
      trajectory: of one stage.
      stride: use every n-th control step only.
    """
    latent = distributions.sample(params.latent, trajectory.latent_noise)
    obs = trajectory.obs[:, ::stride]
    return act_given(policy, params.policy, latent, obs)


def log_ratio(dist: ActionDist, trajectory: Trajectory) -> Float[Array, "K T"]:
    """log pi_new - log pi_sampling of the recorded actions."""
    return distributions.log_prob(dist, trajectory.action) - trajectory.log_prob


def improvement(
    config: MetaConfig, log_ratios: Float[Array, "*shape"], advantage: Float[Array, "*#shape"]
) -> tuple[Float[Array, "*shape"], Float[Array, ""]]:
    """ratio * advantage, clipped unless for trpo (Schulman 2017, eq. 7); the share held back."""
    ratio = jnp.exp(log_ratios)
    surrogate = ratio * advantage
    if config.optimizer == "trpo":
        return surrogate, jnp.zeros(())
    epsilon = config.ppo.clip_epsilon
    clipped = jnp.clip(ratio, 1.0 - epsilon, 1.0 + epsilon) * advantage
    return jnp.minimum(surrogate, clipped), jnp.mean(clipped < surrogate)


def task_loss(
    policy: Policy,
    config: MetaConfig,
    meta: MetaParams,
    task_index: Int[Array, ""],
    batch: Batch,
    credit: Float[Array, ""],
) -> TaskLoss:
    """One task's outer loss (MAESN, eq. 5, negated).

    The surrogate is mean_{k,t} ratio * advantage on the post-update episodes; its gradient reaches
    mu, sigma and alpha through z' = mu' + eps * sigma' (pathwise) and theta directly.

    Args:
      policy: pi_theta(a | s, z).
      config: the meta-learner.
      meta: where to evaluate.
      task_index: row of ``meta.latent``.
      batch: the task's stages, leading axis S = num_inner_steps + 1; the last is post-update.
      credit: from ``sampling_credit``; for emaml only.
    """
    stages = adapt_again(policy, config, meta, task_index, batch)
    *pre, (params, post) = zip(stages, at_stages(batch), strict=True)
    dist = act_again(policy, params, post.trajectory)
    surrogate, clip_fraction = improvement(config, log_ratio(dist, post.trajectory), post.advantage)
    pre_latent = jax.tree.map(lambda x: x[task_index], meta.latent)
    kl_latent = distributions.kl(pre_latent, distributions.standard_normal_like(pre_latent))
    loss = -jnp.mean(surrogate) + config.kl_coef * kl_latent
    if config.optimizer != "trpo":
        loss -= entropy_bonus(config, dist, post.trajectory.alive)
    if config.estimator == "emaml":
        loss -= sum(sampling_surrogate(policy, config, p, b, credit) for p, b in pre)
    kl_pre = jnp.zeros(())
    if config.optimizer == "promp" and pre:
        dists = [act_again(policy, p, b.trajectory) for p, b in pre]
        kls = [kl_to_sampling(d, b.trajectory) for d, (_, b) in zip(dists, pre, strict=True)]
        kl_pre = jnp.mean(jnp.stack(kls))
    kl_policy = kl_to_sampling(dist, post.trajectory)
    return TaskLoss(loss, kl_policy, kl_pre, kl_latent, clip_fraction)


def entropy_bonus(
    config: MetaConfig, dist: ActionDist, alive: Float[Array, "K T"]
) -> Float[Array, ""]:
    """The action entropy up to a constant, weighted; deviations count up to a largest one."""
    entropy = distributions.entropy(dist, config.ppo.entropy_max_std)
    return config.ppo.entropy_coef * jnp.mean(entropy, where=alive > 0)


def kl_to_sampling(dist: ActionDist, trajectory: Trajectory, stride: int = 1) -> Float[Array, ""]:
    """Mean action KL(sampling || new) in nats; ``dist`` is every n-th step's, axes (K, T)."""
    old, alive = jax.tree.map(lambda x: x[:, ::stride], (trajectory.action_dist, trajectory.alive))
    return jnp.mean(distributions.kl(old, dist), where=alive > 0)


def sampling_credit(
    config: MetaConfig, batch: Batch, reduce: Callable[[PyTree], PyTree]
) -> Float[Array, " N"]:
    """Credit of each task's pre-update episodes (E-MAML, Stadie 2018, eq. 6).

    J(theta') averaged over the pre-update episodes has a gradient of two terms: the derivative of
    theta', and J(theta') sum_k sum_t d log pi(a_kt). The credit is this J(theta'), the discounted
    post-update return, less that of the other tasks (a baseline), in units of the post-update
    advantages.

    Args:
      config: the meta-learner.
      batch: all stages of the (local) tasks, leading axes (S, N).
      reduce: mean over devices of a pytree.
    """
    post = jax.tree.map(lambda x: x[-1], batch)
    returns_to_go = returns.discounted_returns(post.trajectory.reward, config.discount)
    task_return = jnp.mean(returns_to_go[..., 0], axis=-1)
    num_tasks = config.meta_batch_size
    leave_one_out = num_tasks / max(num_tasks - 1, 1)
    return leave_one_out * (task_return - reduce(jnp.mean(task_return))) * post.inverse_std


def sampling_surrogate(
    policy: Policy, config: MetaConfig, params: TaskParams, batch: Batch, credit: Float[Array, ""]
) -> Float[Array, ""]:
    """The ratios of all that was drawn in one pre-update stage times its credit.

    Summed over episodes, and over time in the post-update surrogate's unit of a mean over T.
    """
    trajectory, total = batch.trajectory, jnp.zeros(())
    z = jax.lax.stop_gradient(trajectory.latent)
    if config.latent_dim > 0:
        of_latent = distributions.log_prob(params.latent, z) - trajectory.latent_log_prob
        total += jnp.sum(improvement(config, of_latent, credit)[0])
    dist = act_given(policy, params.policy, z, trajectory.obs)
    of_actions = log_ratio(dist, trajectory)
    total += jnp.sum(improvement(config, of_actions, credit)[0] * trajectory.alive)
    return total / trajectory.reward.shape[-1]


def make_objective(
    policy: Policy,
    config: MetaConfig,
    task_index: Int[Array, " N"],
    batch: Batch,
    reduce: Callable[[PyTree], PyTree],
) -> Objective:
    """The outer objective in MetaParams on the (local) tasks' ``batch``, leading axes (S, N)."""
    credit = sampling_credit(config, batch, reduce)
    post = jax.tree.map(lambda x: x[-1], batch.trajectory)
    stride = config.trpo.curvature_stride

    def loss(meta: MetaParams) -> TaskLoss:
        one_task = lambda i, b, c: task_loss(policy, config, meta, i, b, c)  # noqa: E731
        per_task = jax.vmap(one_task, in_axes=(0, 1, 0))
        return jax.tree.map(jnp.mean, per_task(task_index, batch, credit))

    def act(meta: MetaParams) -> ActionDist:
        def one_task(i: Array, b: Batch, trajectory: Trajectory) -> ActionDist:
            params = adapt_again(policy, config, meta, i, b)[-1]
            return act_again(policy, params, trajectory, stride)

        return jax.vmap(one_task, in_axes=(0, 1, 0))(task_index, batch, post)

    def kl(dist: ActionDist) -> Float[Array, ""]:
        per_task = jax.vmap(lambda d, t: kl_to_sampling(d, t, stride))
        return jnp.mean(per_task(dist, post))

    return Objective(loss, act, kl)
