"""The tasks of tests, the same for all runs, and what doing nothing earns on them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from explorax.nets import Policy
from explorax.rollout import TaskParams, returns_and_success, rollout, task_axes
from explorax.types import Env, Gaussian, Task

HELD_OUT = 0x7E57
"""Stream of held-out tasks; training folds nothing so large into a key."""
CHOICE = 0xC401CE
"""Stream of tasks on which something is chosen before it is tested on held-out ones."""


def held_out_tasks(env: Env, num_tasks: int) -> Task:
    """Tasks that no seed trains on, the same for all runs."""
    return env.sample_tasks(jax.random.fold_in(jax.random.key(0), HELD_OUT), num_tasks)


def choice_tasks(env: Env, num_tasks: int) -> Task:
    """Tasks neither trained on nor held out, the same for all runs."""
    return env.sample_tasks(jax.random.fold_in(jax.random.key(0), CHOICE), num_tasks)


def do_nothing(env: Env, tasks: Task) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean return and success of the action 0."""
    num_tasks = jax.tree.leaves(tasks)[0].shape[0]

    def still(_, obs, latent):
        mean = jnp.zeros((*obs.shape[:-1], env.action_size))
        return Gaussian(mean, jnp.full_like(mean, -jnp.inf))

    no_latent = jnp.zeros((num_tasks, 0))
    params = TaskParams(Gaussian(no_latent, no_latent), ())
    keys = jax.random.split(jax.random.key(0), (num_tasks, 1))
    policy = Policy(lambda _: (), still)
    trajectory = rollout(env, policy, params, task_axes("latents"), tasks, keys)
    episode_return, success = returns_and_success(trajectory)
    return jnp.mean(episode_return), jnp.mean(success)
