"""Distributions of actions and latents: sample, log_prob, kl, entropy.

For a diagonal Gaussian, all of them sum over the last axis. A ``SkillChoice`` is the product of a
categorical distribution and a Gaussian one.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from explorax.types import ActionDist, Gaussian, SkillChoice

LOG_2PI = 1.8378770664093453


def sample(dist: ActionDist, noise: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
    """Sample from noise ~ N(0, I): ``mean + exp(log_std) * noise``, which can be differentiated.

    A skill is drawn by the Gumbel-max trick, from Gumbel noise of the same quantile.
    """
    if isinstance(dist, SkillChoice):
        num_skills = dist.logits.shape[-1]
        gumbel = -jnp.log(-jax.scipy.stats.norm.logcdf(noise[..., :num_skills]))
        skill = jax.nn.one_hot(jnp.argmax(dist.logits + gumbel, axis=-1), num_skills)
        return jnp.concatenate([skill, sample(dist.residual, noise[..., num_skills:])], axis=-1)
    return dist.mean + jnp.exp(dist.log_std) * noise


def log_prob(dist: ActionDist, value: Float[Array, "*batch D"]) -> Float[Array, "*batch"]:
    """log N(value; mean, diag(std^2)) in nats, summed (not averaged) over D."""
    if isinstance(dist, SkillChoice):
        num_skills = dist.logits.shape[-1]
        log_skill = jnp.sum(value[..., :num_skills] * jax.nn.log_softmax(dist.logits), axis=-1)
        return log_skill + log_prob(dist.residual, value[..., num_skills:])
    standard = (value - dist.mean) * jnp.exp(-dist.log_std)
    return -jnp.sum(0.5 * jnp.square(standard) + dist.log_std + 0.5 * LOG_2PI, axis=-1)


def kl(p: ActionDist, q: ActionDist) -> Float[Array, "*batch"]:
    """KL(p || q) in nats of two distributions of one kind, summed over D."""
    if isinstance(p, SkillChoice):
        assert isinstance(q, SkillChoice)
        log_p, log_q = jax.nn.log_softmax(p.logits), jax.nn.log_softmax(q.logits)
        of_skill = jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)
        return of_skill + kl(p.residual, q.residual)
    assert isinstance(q, Gaussian)
    variance_ratio = jnp.exp(2.0 * (p.log_std - q.log_std))
    shift = (p.mean - q.mean) * jnp.exp(-q.log_std)
    return jnp.sum(
        q.log_std - p.log_std + 0.5 * (variance_ratio + jnp.square(shift) - 1.0), axis=-1
    )


def standard_normal_like(dist: Gaussian) -> Gaussian:
    """N(0, I) of the shape of ``dist``."""
    return jax.tree.map(jnp.zeros_like, dist)


def entropy(dist: ActionDist, max_std: float = math.inf) -> Float[Array, "*batch"]:
    """Entropy in nats, a Gaussian's up to a constant; its deviations count up to ``max_std``."""
    if isinstance(dist, SkillChoice):
        return categorical_entropy(dist.logits) + entropy(dist.residual, max_std)
    return jnp.sum(jnp.minimum(dist.log_std, math.log(max_std)), axis=-1)


def categorical_entropy(logits: Float[Array, "*batch M"]) -> Float[Array, "*batch"]:
    """Entropy in nats, at most log M."""
    log_p = jax.nn.log_softmax(logits)
    return -jnp.sum(jnp.exp(log_p) * log_p, axis=-1)
