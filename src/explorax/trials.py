"""RL2: a policy that remembers all episodes of a task, trained by ppo over whole trials.

A trial is S episodes of one task, one after the other. Nothing is adapted by gradient: what the
policy learns about the task is in its memory, which is kept from episode to episode and empty
before the first one (Duan et al. 2016, arXiv 1611.02779, section 2.2; Wang et al. 2016, arXiv
1611.05763). An episode has the place that a stage of adaptation has with the other methods.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from explorax.adapt import Batch, make_batch
from explorax.config import MetaConfig
from explorax.nets import Policy
from explorax.optimizers import OuterState, ppo_outer_step
from explorax.outer import (
    MetaParams,
    TaskLoss,
    entropy_bonus,
    improvement,
    kl_to_sampling,
    log_ratio,
)
from explorax.rollout import TaskParams, next_episode, nothing_to_recall, stage_keys, task_axes
from explorax.types import ActionDist, Env, Gaussian, Metrics, Percept, PyTree, Task, Trajectory


def unroll_trials(
    env: Env,
    policy: Policy,
    theta: PyTree,
    num_stages: int,
    num_episodes: int,
    tasks: Task,
    keys: PRNGKeyArray,
    emit: Callable[[Trajectory], PyTree],
) -> PyTree:
    """K trials of S episodes for each of N tasks.

    Args:
      env: static environment.
      policy: one with a memory.
      theta: its parameters, shared by all tasks.
      num_stages: S.
      num_episodes: K trials, independent of each other.
      tasks: leading axis N.
      keys: typed keys (N,), consumed.
      emit: what to keep of an episode of all trials, a Trajectory with leading axes (N, K).

    Returns:
      ``emit`` of every episode, leading axis S.
    """
    no_latent = jnp.zeros((len(keys), 0))
    params, axes = TaskParams(Gaussian(no_latent, no_latent), theta), task_axes("latents")

    def stage(recall, index):
        episode_keys = stage_keys(keys, index, num_episodes)
        trajectory, recall = next_episode(env, policy, params, axes, recall, tasks, episode_keys)
        return recall, emit(trajectory)

    recall = nothing_to_recall(env, policy, (len(keys), num_episodes))
    return jax.lax.scan(stage, recall, jnp.arange(num_stages))[1]


def sample_trials(
    env: Env,
    policy: Policy,
    config: MetaConfig,
    meta: MetaParams,
    task_index: Int[Array, " N"],
    tasks: Task,
    keys: PRNGKeyArray,
) -> Batch:
    """All episodes of the drawn tasks' trials: Batch with leading axes (S, N).

    An advantage reaches over the end of its episode: what is found out in one pays in the next.
    """
    drawn = jax.tree.map(lambda x: x[task_index], tasks)
    stages, episodes = config.num_inner_steps + 1, config.num_episodes
    trajectory = unroll_trials(
        env, policy, meta.policy, stages, episodes, drawn, keys, lambda trajectory: trajectory
    )
    advantages = jax.vmap(lambda t: trial_advantages(config, t), in_axes=1, out_axes=1)
    return advantages(trajectory)


def trial_advantages(config: MetaConfig, trajectory: Trajectory) -> Batch:
    """Advantages of one task's trials, leading axes (S, K), over all S*T steps of each."""
    whole = make_batch(join_episodes(trajectory), config.discount, config.gae_lambda)
    stages, episodes, steps = trajectory.reward.shape
    advantage = whole.advantage.reshape(episodes, stages, steps)
    same = lambda x: jnp.broadcast_to(x, (stages, *x.shape))  # noqa: E731
    return Batch(
        trajectory,
        jnp.moveaxis(advantage, 1, 0),
        same(whole.episode_advantage),
        same(whole.inverse_std),
    )


def join_episodes(trajectory: Trajectory) -> Trajectory:
    """One task's episodes (S, K, T, ...) as K trials of S*T steps; latents are the first's."""
    timed = {
        name: jax.tree.map(_join, value)
        for name, value in trajectory._asdict().items()
        if not name.startswith("latent")
    }
    return jax.tree.map(lambda x: x[0], trajectory)._replace(**timed)


def _join(x: Float[Array, "S K T ..."]) -> Float[Array, "K S*T ..."]:
    stages, episodes, steps = x.shape[:3]
    return jnp.moveaxis(x, 0, 1).reshape(episodes, stages * steps, *x.shape[3:])


def percepts_again(trials: Trajectory, horizon: int) -> Percept:
    """What the policy was given at each step of recorded trials, leaves (K, S*T, ...)."""

    def before(x: Array) -> Array:
        return jnp.concatenate([jnp.zeros_like(x[:, :1]), x[:, :-1]], axis=1)

    start = (jnp.arange(trials.reward.shape[1]) % horizon == 0).astype(trials.obs.dtype)
    return Percept(
        trials.obs,
        last_action=before(jnp.clip(trials.action, -1.0, 1.0)),
        last_reward=before(trials.reward),
        start=jnp.broadcast_to(start, trials.reward.shape),
    )


def act_on_percepts(policy: Policy, theta: PyTree, percepts: Percept) -> ActionDist:
    """Action distributions of recorded trials under ``theta``, leaves (K, S*T, A)."""

    def step(memory: Array, percept: Percept):
        memory = policy.remember(theta, memory, percept)
        return memory, memory

    time_first = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), percepts)
    empty = jnp.zeros((percepts.obs.shape[0], policy.memory_size))
    _, memory = jax.lax.scan(step, empty, time_first)
    return policy.apply(theta, percepts.obs, jnp.moveaxis(memory, 0, 1))


def trial_loss(policy: Policy, config: MetaConfig, theta: PyTree, batch: Batch) -> TaskLoss:
    """ppo's clipped surrogate on one task's trials; the gradient goes through the whole memory.

    Args:
      policy: one with a memory.
      config: the meta-learner.
      theta: where to evaluate.
      batch: of one task, leading axis S.
    """
    trials = join_episodes(batch.trajectory)
    percepts = percepts_again(trials, horizon=batch.trajectory.reward.shape[-1])
    dist = act_on_percepts(policy, theta, percepts)
    advantage = _join(batch.advantage)
    surrogate, clip_fraction = improvement(config, log_ratio(dist, trials), advantage)
    nothing = jnp.zeros(())
    return TaskLoss(
        loss=-jnp.mean(surrogate) - entropy_bonus(config, dist, trials.alive),
        kl_policy=kl_to_sampling(dist, trials),
        kl_pre=nothing,
        kl_latent=nothing,
        clip_fraction=clip_fraction,
    )


def trial_step(
    policy: Policy,
    config: MetaConfig,
    meta: MetaParams,
    state: OuterState,
    task_index: Int[Array, " N"],
    batch: Batch,
    reduce: Callable[[PyTree], PyTree],
) -> tuple[MetaParams, OuterState, Metrics]:
    """``optimizers.outer_step`` of a policy with a memory: ppo on whole trials."""

    def mean_loss(meta: MetaParams) -> TaskLoss:
        of_task = jax.vmap(lambda b: trial_loss(policy, config, meta.policy, b), in_axes=1)
        return jax.tree.map(jnp.mean, of_task(batch))

    return ppo_outer_step(mean_loss, meta, state, config, reduce)


def continue_trials(
    policy: Policy,
    config: MetaConfig,
    env: Env,
    params: MetaParams,
    num_iterations: int,
    num_episodes: int,
    tasks: Task,
    keys: PRNGKeyArray,
    emit: Callable[[Batch], PyTree],
) -> PyTree:
    """``AdaptFunction`` of a policy with a memory: iteration i is the i-th episode of K trials."""
    batch_of = jax.vmap(lambda t: make_batch(t, config.discount, config.gae_lambda))
    stages = num_iterations + 1
    with jax.default_matmul_precision("highest"):
        return unroll_trials(
            env, policy, params.policy, stages, num_episodes, tasks, keys,
            lambda trajectory: jax.vmap(emit)(batch_of(trajectory)),
        )  # fmt: skip
