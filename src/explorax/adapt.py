"""The inner loop: roll out, take one gradient step on what a task may adapt, repeat."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from explorax import distributions, returns
from explorax.config import Adapt, MetaConfig
from explorax.estimators import SURROGATES, Surrogate, loglik
from explorax.nets import Policy
from explorax.rollout import TaskParams, rollout, stage_keys
from explorax.types import Env, Gaussian, PyTree, Task, Trajectory


class StepSizes(NamedTuple):
    """alpha: one learned number per latent parameter, one for theta."""

    latent: Gaussian  # alpha_mu and alpha_sigma in the places of mean and log_std, leaves (L,)
    policy: Float[Array, ""]


class Batch(NamedTuple):
    """One task's episodes at one stage, with their advantages."""

    trajectory: Trajectory  # leading axis K
    advantage: Float[Array, "K T"]  # GAE, standardised over the task's steps, 0 after an end
    # discounted return less the baseline at t = 0, standardised over the K episodes: never GAE,
    # since the baseline does not see z, and bootstrapping from it would lose what z does later
    episode_advantage: Float[Array, " K"]
    inverse_std: Float[Array, ""]  # by which advantage was scaled; 0 where all returns are equal


def make_batch(trajectory: Trajectory, discount: float, gae_lambda: float) -> Batch:
    """Advantages of one task's episodes: linear baseline refitted on them, GAE, standardised."""
    alive = trajectory.alive
    target = returns.discounted_returns(trajectory.reward, discount)
    value = returns.linear_baseline(trajectory.obs, target, alive)
    advantage = returns.gae(trajectory.reward, value, discount, gae_lambda)
    floor = 1e-5 * jnp.max(jnp.abs(target))  # float32 cannot tell returns apart below it
    return Batch(
        trajectory,
        advantage=returns.standardize(advantage, floor, alive),
        episode_advantage=returns.standardize((target - value)[:, 0], floor),
        inverse_std=returns.inverse_std(advantage, floor, alive),
    )


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
    dist = policy.apply(params, trajectory.obs, along_time(z, trajectory.obs))
    log_prob = distributions.log_prob(dist, trajectory.action)
    return jnp.mean(surrogate(log_prob, batch.advantage))


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


def task_axes(adapt: Adapt) -> TaskParams:
    """Which of TaskParams has a task axis: theta only where the inner step moves it."""
    return TaskParams(latent=0, policy=None if adapt == "latents" else 0)  # pyright: ignore


def per_task(adapt: Adapt, params: TaskParams, num_tasks: int) -> TaskParams:
    """Gives theta the task axis that ``task_axes`` promises; the latents have theirs."""
    if adapt == "latents":
        return params
    return params._replace(policy=for_each_task(params.policy, num_tasks))


def for_each_task(tree: PyTree, num_tasks: int) -> PyTree:
    """``tree`` with a leading task axis, the same for all."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (num_tasks, *x.shape)), tree)


def unroll(
    env: Env,
    policy: Policy,
    config: MetaConfig,
    params: TaskParams,
    step_sizes: StepSizes,
    scale: Float[Array, " S"],
    tasks: Task,
    keys: PRNGKeyArray,
    emit: Callable[[Batch], PyTree],
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
      step_sizes: alpha.
      scale: factor on alpha at each stage; its length is the number of stages S.
      tasks: leading axis N.
      keys: typed keys (N,), consumed.
      emit: what to keep of a task's batch at a stage.

    Returns:
      ``emit`` of every batch, leading axes (S, N).
    """
    axes = task_axes(config.adapt)

    def adapt_one(params: TaskParams, scale: Array, batch: Batch) -> TaskParams:
        scaled = jax.tree.map(lambda a: a * scale, step_sizes)
        return inner_step(policy, config, params, scaled, batch)

    adapt_all = jax.vmap(adapt_one, in_axes=(axes, None, 0), out_axes=axes)
    batch_all = jax.vmap(lambda t: make_batch(t, config.discount, config.gae_lambda))

    def stage(params: TaskParams, inputs):
        index, stage_scale = inputs
        episode_keys = stage_keys(keys, index, config.num_episodes)
        batch = batch_all(rollout(env, policy, params, axes, tasks, episode_keys))
        is_last = index == len(scale) - 1
        stay = lambda params, *_: params  # noqa: E731
        adapted = jax.lax.cond(is_last, stay, adapt_all, params, stage_scale, batch)
        return adapted, jax.vmap(emit)(batch)

    start = per_task(config.adapt, params, len(keys))
    _, emitted = jax.lax.scan(stage, start, (jnp.arange(len(scale)), scale))
    return emitted
