"""Flax policies that take a latent input."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from explorax.types import Gaussian, PyTree

# The first actions are noise about 0. Of unit scale, this layer would answer velocities of several
# m/s by means far outside [-1, 1], where clipping hides what an action does.
SMALL = nn.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")


class Policy(NamedTuple):
    """pi_theta(a | s, z) as two pure functions."""

    init: Callable[[PRNGKeyArray], PyTree]
    """key -> theta"""
    apply: Callable[[PyTree, Float[Array, "*batch O"], Float[Array, "*batch L"]], Gaussian]
    """(theta, obs, latent) -> Gaussian over actions, leaves (*batch, A)"""


class GaussianMLP(nn.Module):
    """ReLU layers on [obs, z] give the mean; one learned log-std vector serves all inputs.

    Source: Gupta et al. 2018 (arXiv 1802.07245), experimental details: (100, 100) ReLU.
    """

    action_size: int
    hidden_sizes: Sequence[int]
    init_action_std: float

    @nn.compact
    def __call__(self, obs: Float[Array, "*batch O"], latent: Float[Array, "*batch L"]) -> Gaussian:
        x = jnp.concatenate([obs, latent], axis=-1)
        for size in self.hidden_sizes:
            x = nn.relu(nn.Dense(size)(x))
        mean = nn.Dense(self.action_size, kernel_init=SMALL)(x)
        init_log_std = nn.initializers.constant(jnp.log(self.init_action_std))
        log_std = self.param("log_std", init_log_std, (self.action_size,))
        return Gaussian(mean, jnp.broadcast_to(log_std, mean.shape))


def gaussian_mlp_policy(
    obs_size: int,
    action_size: int,
    latent_size: int,
    hidden_sizes: Sequence[int] = (100, 100),
    init_action_std: float = 1.0,
) -> Policy:
    """The MAESN policy as pure functions; ``latent_size`` 0 gives a policy without a latent."""
    net = GaussianMLP(action_size, tuple(hidden_sizes), init_action_std)

    def init(key: PRNGKeyArray) -> PyTree:
        return net.init(key, jnp.zeros(obs_size), jnp.zeros(latent_size))

    def apply(params: PyTree, obs: Array, latent: Array) -> Gaussian:
        return cast(Gaussian, net.apply(params, obs, latent))

    return Policy(init, apply)
