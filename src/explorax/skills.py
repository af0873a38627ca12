"""Spaces of skills: what a skill z is, its prior p(z), and how a discriminator q(z | f) reads.

The intrinsic reward of DIAYN (Eysenbach et al. 2018, arXiv 1802.06070, eq. 3) is

    r(s', z) = log q(z | f(s')) - log p(z)

It is 0 under a discriminator that knows nothing, and at most log M for M skills that are equally
likely.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from explorax import distributions
from explorax.config import SkillConfig
from explorax.types import Gaussian, PyTree

LOG_STD_RANGE = (-4.0, 2.0)
"""A gaussian q(z | f) is no sharper and no wider than this; its reward stays finite."""


class Skills(NamedTuple):
    """A space of skills as pure functions.

    A skill's code (C,) is what is stored of it: its number, or z itself. The policy is given z
    (Z,), which for numbered skills is one-hot.
    """

    code_size: int
    """C"""
    size: int
    """Z"""
    output_size: int
    """D, numbers that the discriminator puts out"""
    prior: PyTree
    """p(z) at the start, what ``sample`` and ``log_prior`` take: logits (M,), or nothing"""
    sample: Callable[[PRNGKeyArray, PyTree], Float[Array, " C"]]
    """(key, prior) -> code"""
    embed: Callable[[Float[Array, "*batch C"]], Float[Array, "*batch Z"]]
    """code -> z"""
    log_prior: Callable[[PyTree, Float[Array, "*batch C"]], Float[Array, "*batch"]]
    """(prior, code) -> log p(z), nats"""
    log_posterior: Callable[[Float[Array, "*batch D"], Float[Array, "*batch C"]], Array]
    """(discriminator's outputs, code) -> log q(z | f), nats, (*batch)"""


def make_skills(config: SkillConfig) -> Skills:
    """The space that ``config`` describes."""
    if config.skill_space == "categorical":
        return categorical(config.num_skills)
    return gaussian(config.skill_dim)


def categorical(num_skills: int) -> Skills:
    """M numbered skills; the discriminator's outputs are logits."""

    def log_softmax_at(logits: Array, code: Array) -> Array:
        index = jnp.broadcast_to(_index(code), logits.shape[:-1])[..., None]
        return jnp.take_along_axis(jax.nn.log_softmax(logits), index, axis=-1)[..., 0]

    def log_prior(logits: Array, code: Array) -> Array:
        return jax.nn.log_softmax(logits)[_index(code)]

    def sample(key: PRNGKeyArray, logits: Array) -> Array:
        return jax.random.categorical(key, logits)[None].astype(float)

    return Skills(
        code_size=1,
        size=num_skills,
        output_size=num_skills,
        prior=jnp.zeros(num_skills),
        sample=sample,
        embed=lambda code: jax.nn.one_hot(_index(code), num_skills),
        log_prior=log_prior,
        log_posterior=log_softmax_at,
    )


def gaussian(size: int) -> Skills:
    """z ~ N(0, I); the discriminator's outputs are mean and log-std of q(z | f)."""

    def posterior(outputs: Array) -> Gaussian:
        mean, log_std = jnp.split(outputs, 2, axis=-1)
        return Gaussian(mean, jnp.clip(log_std, *LOG_STD_RANGE))

    zeros = jnp.zeros(size)
    return Skills(
        code_size=size,
        size=size,
        output_size=2 * size,
        prior=(),
        sample=lambda key, _: jax.random.normal(key, (size,)),
        embed=lambda code: code,
        log_prior=lambda _, code: distributions.log_prob(Gaussian(zeros, zeros), code),
        log_posterior=lambda outputs, code: distributions.log_prob(posterior(outputs), code),
    )


def _index(code: Float[Array, "*batch 1"]) -> Array:
    return code[..., 0].astype(jnp.int32)
