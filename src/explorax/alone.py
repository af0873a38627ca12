"""Learning a new task alone: the outer step on one task, again and again, without inner steps.

From a random theta this is learning from scratch; from a meta-learned one it is fine-tuning. With
``config.curiosity`` the task is learned from its reward plus a bonus for new states.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from explorax.adapt import Batch, for_each, make_batch
from explorax.config import MetaConfig
from explorax.curiosity import Bonus, make_bonus
from explorax.nets import Policy
from explorax.optimizers import init_outer, outer_step
from explorax.outer import MetaParams
from explorax.rollout import TaskParams, rollout, stage_keys, task_axes
from explorax.types import Env, Gaussian, PyTree, Task, Trajectory
from explorax.varied import with_values

CURIOSITY = 0xC0DE0000
"""Stream of a task's bonus; episodes fold no iteration so large into the task's key."""


def curious_batch(
    config: MetaConfig, bonus: Bonus, state: PyTree, trajectory: Trajectory
) -> tuple[Batch, PyTree]:
    """One task's batch, its advantages made of reward + curiosity_coef * bonus.

    Args:
      config: discount, GAE's lambda and the bonus's weight.
      bonus: of the states reached.
      state: the bonus's, before these episodes.
      trajectory: leading axis K.

    Returns:
      The batch, in which the trajectory's reward is the task's own; and the bonus's next state.
    """
    novelty, state = bonus.update(state, trajectory.obs, trajectory.alive)
    with_bonus = trajectory._replace(reward=trajectory.reward + config.curiosity_coef * novelty)
    batch = make_batch(with_bonus, config.discount, config.gae_lambda)
    return batch._replace(trajectory=trajectory), state


def one_task_config(config: MetaConfig, num_episodes: int) -> MetaConfig:
    """The outer step's settings for a single task, without inner steps."""
    assert config.test_optimizer != "sgd"
    changed = {
        "optimizer": config.test_optimizer,
        "ppo.decay_iterations": 0,  # that is meta-training's schedule
        "estimator": "loglik",
        "num_inner_steps": 0,
        "num_train_tasks": 1,
        "meta_batch_size": 1,
        "num_episodes": num_episodes,
    }
    return with_values(config, changed)


def learn_alone(
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
    """``AdaptFunction`` that trains theta, and a latent from its prior, on every task by itself.

    ``config.test_optimizer`` says how; its settings are those of the outer step. ``emit`` sees the
    task's own reward, and advantages that are made of the bonus too.
    """
    config = one_task_config(config, num_episodes)
    axes = task_axes("params")
    bonus = make_bonus(config.curiosity, env.observation_size)
    prior = jnp.zeros((1, config.latent_dim))
    start = params._replace(latent=Gaussian(prior, prior))

    def improve(meta, outer, batch):
        batch = jax.tree.map(lambda x: x[None, None], batch)  # one stage of one task
        index = jnp.zeros(1, jnp.int32)
        return outer_step(policy, config, meta, outer, index, batch, reduce=lambda tree: tree)[:2]

    def iteration(carry, index):
        meta, outer, curious = carry
        episode_keys = stage_keys(keys, index, num_episodes)
        acting = TaskParams(jax.tree.map(lambda x: x[:, 0], meta.latent), meta.policy)
        trajectory = rollout(env, policy, acting, axes, tasks, episode_keys)
        batch, curious = jax.vmap(partial(curious_batch, config, bonus))(curious, trajectory)
        is_last = index == num_iterations
        stay = lambda meta, outer, _: (meta, outer)  # noqa: E731
        improved = jax.lax.cond(is_last, stay, jax.vmap(improve), meta, outer, batch)
        return (*improved, curious), jax.vmap(emit)(batch)

    learned = for_each((start, init_outer(config, start)), len(keys))
    curious = jax.vmap(lambda key: bonus.init(jax.random.fold_in(key, CURIOSITY)))(keys)
    with jax.default_matmul_precision("highest"):
        _, emitted = jax.lax.scan(iteration, (*learned, curious), jnp.arange(num_iterations + 1))
    return emitted
