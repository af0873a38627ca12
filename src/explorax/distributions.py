"""Diagonal Gaussians: sample, log_prob, kl. All reduce over the last axis, by a sum."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from explorax.types import Gaussian

LOG_2PI = 1.8378770664093453


def sample(dist: Gaussian, noise: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
    """Reparameterised sample: ``mean + exp(log_std) * noise`` with ``noise`` ~ N(0, I)."""
    return dist.mean + jnp.exp(dist.log_std) * noise


def log_prob(dist: Gaussian, value: Float[Array, "*batch D"]) -> Float[Array, "*batch"]:
    """log N(value; mean, diag(std^2)) in nats, summed (not averaged) over D."""
    standard = (value - dist.mean) * jnp.exp(-dist.log_std)
    return -jnp.sum(0.5 * jnp.square(standard) + dist.log_std + 0.5 * LOG_2PI, axis=-1)


def kl(p: Gaussian, q: Gaussian) -> Float[Array, "*batch"]:
    """KL(p || q) in nats, summed over D."""
    variance_ratio = jnp.exp(2.0 * (p.log_std - q.log_std))
    shift = (p.mean - q.mean) * jnp.exp(-q.log_std)
    return jnp.sum(
        q.log_std - p.log_std + 0.5 * (variance_ratio + jnp.square(shift) - 1.0), axis=-1
    )


def standard_normal_like(dist: Gaussian) -> Gaussian:
    """N(0, I) of the shape of ``dist``."""
    return jax.tree.map(jnp.zeros_like, dist)
