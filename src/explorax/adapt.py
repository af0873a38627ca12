"""The inner loop: roll out, take one gradient step on what a task may adapt, repeat."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from explorax import distributions, returns
from explorax.config import Adapt, MetaConfig
from explorax.estimators import SURROGATES, Surrogate, loglik
from explorax.nets import Policy
from explorax.rollout import TaskParams, rollout, stage_keys, task_axes
from explorax.types import ActionDist, Env, Gaussian, PyTree, Task, Trajectory


class StepSizes(NamedTuple):
    """alpha: one learned number per latent parameter, one for theta."""

    latent: Gaussian  # alpha_mu and alpha_sigma in the places of mean and log_std, leaves (L,)
    policy: Float[Array, ""]


class Advantages(NamedTuple):
    """Advantages of one task's episodes before standardising: linear in the reward."""

    of_steps: Float[Array, "K T"]  # GAE
    of_episodes: Float[Array, " K"]  # discounted return less the baseline at t = 0
    largest: Float[Array, ""]  # largest |return to go|, or an upper bound of it


class Parts(NamedTuple):
    """Advantages of a reward, and of a bonus that is paid beside it."""

    reward: Advantages
    bonus: Advantages  # at a weight of 1


class Batch(NamedTuple):
    """One task's episodes at one stage, with their advantages."""

    trajectory: Trajectory  # leading axis K
    advantage: Float[Array, "K T"]  # GAE, standardised over the task's steps, 0 after an end
    # discounted return less the baseline at t = 0, standardised over the K episodes: never GAE,
    # since the baseline does not see z, and bootstrapping from it would lose what z does later
    episode_advantage: Float[Array, " K"]
    inverse_std: Float[Array, ""]  # by which advantage was scaled; 0 where all returns are equal
    parts: Parts | None = None  # what the advantages are made of, where a bonus's weight is learned


class Appraisal(NamedTuple):
    """How one task's episodes become a batch, stage by stage."""

    init: PyTree
    """what is remembered of the task before any episode"""
    batch: Callable[[PyTree, Bool[Array, ""], Trajectory], tuple[Batch, PyTree]]
    """(memory, whether this stage is the last, trajectory) -> batch, memory"""


def make_batch(trajectory: Trajectory, discount: float, gae_lambda: float) -> Batch:
    """Advantages of one task's episodes: linear baseline refitted on them, GAE, standardised."""
    return batch_from(trajectory, advantages(trajectory, trajectory.reward, discount, gae_lambda))


def advantages(
    trajectory: Trajectory, reward: Float[Array, "K T"], discount: float, gae_lambda: float
) -> Advantages:
    """Advantages of one task's episodes under ``reward``, against a baseline fitted to it."""
    target = returns.discounted_returns(reward, discount)
    value = returns.linear_baseline(trajectory.obs, target, trajectory.alive)
    of_steps = returns.gae(reward, value, discount, gae_lambda)
    return Advantages(of_steps, (target - value)[:, 0], jnp.max(jnp.abs(target)))


def batch_from(trajectory: Trajectory, advantages: Advantages) -> Batch:
    """The batch of one task's episodes: ``advantages`` standardised."""
    alive = trajectory.alive
    floor = 1e-5 * advantages.largest  # float32 cannot tell returns apart below it
    return Batch(
        trajectory,
        advantage=returns.standardize(advantages.of_steps, floor, alive),
        episode_advantage=returns.standardize(advantages.of_episodes, floor),
        inverse_std=returns.inverse_std(advantages.of_steps, floor, alive),
    )


def weighted(parts: Parts, coef: Float[Array, ""]) -> Advantages:
    """Advantages of reward + coef * bonus; ``largest`` is an upper bound. ``coef`` is not < 0."""
    return jax.tree.map(lambda r, b: r + coef * b, parts.reward, parts.bonus)


def by_reward(config: MetaConfig) -> Appraisal:
    """Advantages from the task's reward, at every stage."""

    def batch(memory: PyTree, _: Array, trajectory: Trajectory) -> tuple[Batch, PyTree]:
        return make_batch(trajectory, config.discount, config.gae_lambda), memory

    return Appraisal((), batch)


def latent_objective(
    latent: Gaussian, batch: Batch, surrogate: Surrogate = loglik
) -> Float[Array, ""]:
    """J = mean_k log N(z_k; mu, sigma) A_k with z_k held constant (MAESN, eq. 4).

    The stop-gradient is the point: were z_k = mu + sigma eps_k differentiated too,
    (z_k - mu) / sigma would be eps_k itself and dJ/dmu identically 0.
    """
    z = jax.lax.stop_gradient(batch.trajectory.latent)
    log_prob = distributions.log_prob(latent, z)
    return jnp.mean(surrogate(log_prob[:, None], batch.episode_advantage[:, None]))


def policy_objective(
    policy: Policy, params: PyTree, batch: Batch, surrogate: Surrogate = loglik
) -> Float[Array, ""]:
    """J = mean_{k,t} log pi_theta(a_kt | s_kt, z_k) A_kt, or another surrogate of it."""
    trajectory = batch.trajectory
    z = jax.lax.stop_gradient(trajectory.latent)
    dist = act_given(policy, params, z, trajectory.obs)
    log_prob = distributions.log_prob(dist, trajectory.action)
    return jnp.mean(surrogate(log_prob, batch.advantage))


def act_given(
    policy: Policy, theta: PyTree, latent: Float[Array, "*batch L"], obs: Float[Array, "*batch T O"]
) -> ActionDist:
    """The action distributions at all steps of episodes that keep their latent."""
    return policy.apply(theta, obs, along_time(latent, obs))


def along_time(
    latent: Float[Array, "*batch L"], obs: Float[Array, "*batch T O"]
) -> Float[Array, "*batch T L"]:
    """The episode's latent, repeated for each of its steps."""
    return jnp.broadcast_to(latent[..., None, :], (*obs.shape[:-1], latent.shape[-1]))


def inner_step(
    policy: Policy, config: MetaConfig, params: TaskParams, step_sizes: StepSizes, batch: Batch
) -> TaskParams:
    """One gradient ascent step on J: x' = x + alpha * dJ/dx (MAESN, eqs. 2 and 3).

    Args:
      policy: pi_theta(a | s, z).
      config: which leaves of ``params`` move, and the surrogate.
      params: the task's parameters before the step.
      step_sizes: alpha.
      batch: episodes that were sampled with ``params``.

    Returns:
      The task's parameters after the step.
    """
    surrogate = SURROGATES[config.estimator]
    constant = jax.lax.stop_gradient if config.estimator == "first_order" else lambda tree: tree
    adapted = params
    if config.adapt in ("latents", "both"):
        gradient = jax.grad(latent_objective)(params.latent, batch, surrogate)
        latent = jax.tree.map(
            lambda x, a, g: x + a * g, params.latent, step_sizes.latent, constant(gradient)
        )
        adapted = adapted._replace(latent=latent)
    if config.adapt in ("params", "both"):
        gradient = jax.grad(lambda theta: policy_objective(policy, theta, batch, surrogate))(
            params.policy
        )
        theta = jax.tree.map(
            lambda x, g: x + step_sizes.policy * g, params.policy, constant(gradient)
        )
        adapted = adapted._replace(policy=theta)
    return adapted


def per_task(adapt: Adapt, params: TaskParams, num_tasks: int) -> TaskParams:
    """Gives theta the task axis that ``task_axes`` promises; the latents have theirs."""
    if adapt == "latents":
        return params
    return params._replace(policy=for_each(params.policy, num_tasks))


def for_each(tree: PyTree, size: int) -> PyTree:
    """``tree`` with a leading axis, of tasks or stages, the same for all."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (size, *x.shape)), tree)


def unroll(
    env: Env,
    policy: Policy,
    config: MetaConfig,
    params: TaskParams,
    step_sizes: StepSizes,
    tasks: Task,
    keys: PRNGKeyArray,
    emit: Callable[[Batch], PyTree],
    appraisal: Appraisal | None = None,
) -> PyTree:
    """Rolls out and adapts to N tasks, stage by stage.

    Every stage samples ``config.num_episodes`` episodes a task with the current parameters; all but
    the last then take one inner step. One rollout in the program serves all stages, which halves
    its compile time.

    Args:
      env: static environment.
      policy: pi_theta(a | s, z).
      config: K, discount, what adapts.
      params: parameters at stage 0: latents (N, L), one theta for all.
      step_sizes: alpha of every stage, leading axis S; the last one is of no step.
      tasks: leading axis N.
      keys: typed keys (N,), consumed.
      emit: what to keep of a task's batch at a stage.
      appraisal: how advantages are computed, if not from the task's reward.

    Returns:
      ``emit`` of every batch, leading axes (S, N).
    """
    axes = task_axes(config.adapt)
    appraisal = appraisal or by_reward(config)

    num_stages = len(step_sizes.policy)
    adapt_all = jax.vmap(
        partial(inner_step, policy, config), in_axes=(axes, None, 0), out_axes=axes
    )
    batch_all = jax.vmap(appraisal.batch, in_axes=(0, None, 0))

    def stage(carry, inputs):
        (params, memory), (index, alpha) = carry, inputs
        is_last = index == num_stages - 1
        episode_keys = stage_keys(keys, index, config.num_episodes)
        trajectory = rollout(env, policy, params, axes, tasks, episode_keys)
        batch, memory = batch_all(memory, is_last, trajectory)
        stay = lambda params, *_: params  # noqa: E731
        adapted = jax.lax.cond(is_last, stay, adapt_all, params, alpha, batch)
        return (adapted, memory), jax.vmap(emit)(batch)

    start = per_task(config.adapt, params, len(keys)), for_each(appraisal.init, len(keys))
    _, emitted = jax.lax.scan(stage, start, (jnp.arange(num_stages), step_sizes))
    return emitted
