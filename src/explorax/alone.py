"""Learning a new task alone: the outer step on one task, again and again, without inner steps.

From a random theta this is learning from scratch; from a meta-learned one it is fine-tuning.
"""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from explorax.adapt import Batch, for_each_task, make_batch, task_axes
from explorax.config import MetaConfig
from explorax.nets import Policy
from explorax.optimizers import init_outer, outer_step
from explorax.outer import MetaParams
from explorax.rollout import TaskParams, rollout, stage_keys
from explorax.types import Env, Gaussian, PyTree, Task


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

    ``config.test_optimizer`` says how; its settings are those of the outer step.
    """
    assert config.test_optimizer != "sgd"
    config = replace(
        config,
        optimizer=config.test_optimizer,
        ppo=replace(config.ppo, decay_iterations=0),  # that is meta-training's schedule
        estimator="loglik",
        num_inner_steps=0,
        num_train_tasks=1,
        meta_batch_size=1,
        num_episodes=num_episodes,
    )
    axes = task_axes("params")
    prior = jnp.zeros((1, config.latent_dim))
    start = params._replace(latent=Gaussian(prior, prior))

    def improve(meta, outer, batch):
        batch = jax.tree.map(lambda x: x[None, None], batch)  # one stage of one task
        index = jnp.zeros(1, jnp.int32)
        return outer_step(policy, config, meta, outer, index, batch, reduce=lambda tree: tree)[:2]

    def iteration(carry, index):
        meta, outer = carry
        episode_keys = stage_keys(keys, index, num_episodes)
        acting = TaskParams(jax.tree.map(lambda x: x[:, 0], meta.latent), meta.policy)
        trajectory = rollout(env, policy, acting, axes, tasks, episode_keys)
        batch = jax.vmap(lambda t: make_batch(t, config.discount, config.gae_lambda))(trajectory)
        is_last = index == num_iterations
        stay = lambda meta, outer, _: (meta, outer)  # noqa: E731
        carry = jax.lax.cond(is_last, stay, jax.vmap(improve), meta, outer, batch)
        return carry, jax.vmap(emit)(batch)

    first = for_each_task((start, init_outer(config, start)), len(keys))
    with jax.default_matmul_precision("highest"):
        _, emitted = jax.lax.scan(iteration, first, jnp.arange(num_iterations + 1))
    return emitted
