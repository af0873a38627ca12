"""Episodes of skills as transitions in Brax's replay buffer."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from brax.training.replay_buffers import UniformSamplingQueue
from jaxtyping import Array, Float, Int

from explorax.config import SkillConfig, SkillObjective, require
from explorax.types import Env, Trajectory


class Experience(NamedTuple):
    """One transition, as the replay buffer keeps it."""

    obs: Float[Array, " O"]
    action: Float[Array, " A"]  # in [-1, 1]
    next_obs: Float[Array, " O"]
    code: Float[Array, " C"]  # the skill's
    seen: Float[Array, " F"]  # f(s'); for vic f(s_T) of the episode's last state
    pays: Float[Array, ""]  # 1.0 where the intrinsic reward is paid
    alive: Float[Array, ""]  # 0.0 after the episode has ended
    discount: Float[Array, ""]  # 0.0 where nothing comes after


def replay_buffer(
    env: Env, code_size: int, num_features: int, config: SkillConfig
) -> UniformSamplingQueue[Experience]:
    """An empty buffer, from which one iteration's batches are drawn at once.

    Raises:
      ValueError: it would not hold one iteration.
    """
    kept = config.num_episodes * (env.horizon - 1)
    require(config.replay_size >= kept, "skills.replay_size", f"must hold an iteration's {kept}")
    obs, one = jnp.zeros(env.observation_size), jnp.zeros(())
    example = Experience(
        obs=obs,
        action=jnp.zeros(env.action_size),
        next_obs=obs,
        code=jnp.zeros(code_size),
        seen=jnp.zeros(num_features),
        pays=one,
        alive=one,
        discount=one,
    )
    drawn = config.batch_size * config.num_gradient_steps
    return UniformSamplingQueue(config.replay_size, example, drawn)


def remember(
    objective: SkillObjective,
    features: Int[Array, " F"],
    trajectory: Trajectory,
    code: Float[Array, "E C"],
) -> Experience:
    """Episodes (E, T) as transitions (E * (T - 1)): what the last action led to is not recorded."""
    vic = objective == "vic"
    obs, next_obs = trajectory.obs[:, :-1], trajectory.obs[:, 1:]
    alive, alive_next = trajectory.alive[:, :-1], trajectory.alive[:, 1:]
    ends = jnp.maximum(jnp.zeros(alive.shape).at[:, -1].set(1.0), 1.0 - alive_next)
    seen = next_obs[..., features]
    if vic:
        seen = jnp.broadcast_to(seen[:, -1:], seen.shape)
    experience = Experience(
        obs=obs,
        action=jnp.tanh(trajectory.action[:, :-1]),
        next_obs=next_obs,
        code=jnp.broadcast_to(code[:, None], (*alive.shape, code.shape[-1])),
        seen=seen,
        pays=alive * ends if vic else alive,
        alive=alive,
        discount=1.0 - ends if vic else alive_next,
    )
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), experience)
