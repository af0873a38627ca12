"""Soft actor-critic (Haarnoja et al. 2018, arXiv 1812.05905): Brax's networks and losses.

The entropy's weight is fixed. Observations are the environment's, with the skill beside them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from brax.training.agents.sac.losses import make_losses
from brax.training.agents.sac.networks import make_sac_networks
from brax.training.types import Transition
from jaxtyping import Array, Float, PRNGKeyArray

from explorax.config import SkillConfig
from explorax.nets import Policy
from explorax.types import Env, Gaussian, Metrics, PyTree


class SACState(NamedTuple):
    """What soft actor-critic carries from one gradient step to the next."""

    policy: PyTree
    critic: PyTree  # two Q functions
    target: PyTree  # their slow copy
    policy_adam: optax.OptState
    critic_adam: optax.OptState


class SAC(NamedTuple):
    """Soft actor-critic as pure functions."""

    init: Callable[[PRNGKeyArray], SACState]
    step: Callable[[SACState, Transition, PRNGKeyArray], tuple[SACState, Metrics]]
    """one gradient step on a batch of transitions, observations [obs, z], actions in [-1, 1]"""
    policy: Policy
    """pi(a | s, z) before its tanh: acts in ``squashed`` environments"""


def make_sac(
    env: Env, skill_size: int, config: SkillConfig, reduce: Callable[[PyTree], PyTree]
) -> SAC:
    """Soft actor-critic on ``env`` with a skill of ``skill_size`` numbers beside the observation.

    Args:
      env: gives the sizes.
      skill_size: Z.
      config: the numbers.
      reduce: mean over devices of a pytree.
    """
    obs_size = env.observation_size + skill_size
    nets = make_sac_networks(obs_size, env.action_size, hidden_layer_sizes=config.hidden_sizes)
    _, critic_loss, actor_loss = make_losses(nets, 1.0, config.discount, env.action_size)
    adam = optax.adam(config.learning_rate)

    def init(key: PRNGKeyArray) -> SACState:
        policy_key, critic_key = jax.random.split(key)
        policy, critic = nets.policy_network.init(policy_key), nets.q_network.init(critic_key)
        return SACState(policy, critic, critic, adam.init(policy), adam.init(critic))

    def step(state: SACState, batch: Transition, key: PRNGKeyArray) -> tuple[SACState, Metrics]:
        critic_key, actor_key = jax.random.split(key)
        alpha = config.entropy_coef
        loss_q, gradient = jax.value_and_grad(critic_loss)(
            state.critic, state.policy, (), state.target, alpha, batch, critic_key
        )
        critic, critic_adam = _adam_step(adam, reduce(gradient), state.critic_adam, state.critic)
        loss_pi, gradient = jax.value_and_grad(actor_loss)(
            state.policy, (), critic, alpha, batch, actor_key
        )
        policy, policy_adam = _adam_step(adam, reduce(gradient), state.policy_adam, state.policy)
        target = optax.incremental_update(critic, state.target, config.target_rate)
        metrics = {"critic_loss": loss_q, "actor_loss": loss_pi}
        return SACState(policy, critic, target, policy_adam, critic_adam), metrics

    def apply(theta: PyTree, obs: Array, z: Array) -> Gaussian:
        parameters = nets.policy_network.apply((), theta, jnp.concatenate([obs, z], axis=-1))
        normal: Any = nets.parametric_action_distribution.create_dist(parameters)
        return Gaussian(normal.loc, jnp.log(normal.scale))

    return SAC(init, step, Policy(lambda key: init(key).policy, apply))


def _adam_step(adam: optax.GradientTransformation, gradient: PyTree, state: Any, params: PyTree):
    updates, state = adam.update(gradient, state, params)
    return optax.apply_updates(params, updates), state


class _Squashed:
    """An environment seen through tanh."""

    def __init__(self, env: Env) -> None:
        self._env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def step(self, state: Any, action: Float[Array, " A"]) -> Any:
        return self._env.step(state, jnp.tanh(action))


def squashed(env: Env) -> Env:
    """``env`` whose actions go through tanh before its own step, as soft actor-critic's do."""
    return cast(Env, _Squashed(env))
