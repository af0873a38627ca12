"""Intrinsic rewards, paid beside a task's; that of latents that are skills.

    r + beta (log q_phi(z | f(s')) - log p(z)),   p(z) = N(0, I)

(DIAYN, Eysenbach et al. 2018, arXiv 1802.06070, eq. 3). A step is paid for the state it reached
(``returns.reached_states``); the last one is paid nothing.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from explorax.adapt import Appraisal, Batch, Parts, advantages, batch_from, weighted
from explorax.config import LatentSkillConfig, MetaConfig, require
from explorax.nets import Discriminator, discriminator
from explorax.returns import pad_rewards, reached_states
from explorax.skills import Skills, gaussian
from explorax.types import Metrics, PyTree, Trajectory

IntrinsicReward = Callable[[Trajectory], Float[Array, "K T"]]
"""One task's trajectory -> what its steps earn beside the task's reward, nats"""


class Intrinsic(NamedTuple):
    """An intrinsic reward for latents that are skills."""

    features: Array  # indices of f(s) in an observation
    config: LatentSkillConfig
    skills: Skills
    discriminator: Discriminator
    optimizer: optax.GradientTransformation  # the discriminator's


def make_intrinsic(
    features: tuple[int, ...], config: LatentSkillConfig, latent_dim: int
) -> Intrinsic:
    """The reward that ``config`` describes, for z of size ``latent_dim``."""
    space = gaussian(latent_dim)
    net = discriminator(len(features), space.output_size, config.hidden_sizes)
    return Intrinsic(jnp.array(features), config, space, net, optax.adam(config.learning_rate))


def coefficient(
    config: LatentSkillConfig, log_gain: Float[Array, ""], updates: Int[Array, ""]
) -> Float[Array, ""]:
    """beta, not negative."""
    if config.schedule == "annealed":
        left = jnp.maximum(1.0 - updates / config.anneal_iterations, 0.0)
        return config.intrinsic_coef * left
    if config.schedule == "learned":
        return config.intrinsic_coef * jnp.exp(log_gain)
    return jnp.full((), config.intrinsic_coef, dtype=float)


def log_posterior(
    intrinsic: Intrinsic, phi: PyTree, trajectory: Trajectory
) -> tuple[Float[Array, "K T-1"], Float[Array, "K T-1"]]:
    """log q_phi(z | f(s')), nats, of every step but the last; 1.0 where there was such a step."""
    state_reached, weight = reached_states(trajectory.obs, trajectory.alive)
    outputs = intrinsic.discriminator.apply(phi, state_reached[..., intrinsic.features])
    return intrinsic.skills.log_posterior(outputs, trajectory.latent[:, None]), weight


def intrinsic_reward(
    intrinsic: Intrinsic, phi: PyTree, trajectory: Trajectory
) -> Float[Array, "K T"]:
    """log q_phi(z | f(s')) - log p(z), nats; 0 for the last step and after an episode's end."""
    log_q, weight = log_posterior(intrinsic, phi, trajectory)
    log_p = intrinsic.skills.log_prior(intrinsic.skills.prior, trajectory.latent)
    return pad_rewards(log_q - log_p[:, None], weight)


def appraise(
    reward: IntrinsicReward,
    config: MetaConfig,
    coef: Float[Array, ""],
    pays: Float[Array, ""],
    trajectory: Trajectory,
    in_parts: bool = False,
) -> Batch:
    """One task's batch, learned from reward + coef * pays * intrinsic reward.

    Args:
      reward: the intrinsic one.
      config: discount and GAE's lambda.
      coef: beta.
      pays: 1.0 or 0.0, whether the intrinsic reward is paid at this stage.
      trajectory: leading axis K.
      in_parts: whether the batch can be weighted again with another beta.
    """
    bonus = pays * reward(trajectory)
    of = lambda reward: advantages(trajectory, reward, config.discount, config.gae_lambda)  # noqa: E731
    made_of = Parts(of(trajectory.reward), of(bonus))
    learned_from = trajectory._replace(reward=trajectory.reward + coef * bonus)
    batch = batch_from(learned_from, weighted(made_of, coef))
    return batch._replace(parts=made_of) if in_parts else batch


def check_is_adapted(config: MetaConfig, because: str) -> None:
    """Raises ValueError for a method that has no inner steps from episodes that could be paid."""
    require(config.num_inner_steps > 0, "meta.num_inner_steps", f"must not be 0 {because}")
    require(config.test_optimizer == "sgd", "meta.test_optimizer", f"must be 'sgd' {because}")


def before_adaptation(
    reward: IntrinsicReward, config: MetaConfig, coef: Float[Array, ""], in_parts: bool = False
) -> Appraisal:
    """The intrinsic reward is paid at every stage but the last: meta-training."""

    def batch(memory: PyTree, is_last: Array, trajectory: Trajectory) -> tuple[Batch, PyTree]:
        pays = jnp.where(is_last, 0.0, 1.0)
        return appraise(reward, config, coef, pays, trajectory, in_parts), memory

    return Appraisal((), batch)


def until_success(reward: IntrinsicReward, config: MetaConfig, coef: Float[Array, ""]) -> Appraisal:
    """The intrinsic reward is paid until an episode, this stage's included, succeeds: meta-test."""

    def batch(found: Array, _: Array, trajectory: Trajectory) -> tuple[Batch, Array]:
        found = jnp.maximum(found, jnp.max(trajectory.success))
        return appraise(reward, config, coef, 1.0 - found, trajectory), found

    return Appraisal(jnp.zeros(()), batch)


def again_weighted(batch: Batch, coef: Float[Array, ""]) -> Batch:
    """One task's recorded batch under another beta, as a differentiable function of it.

    Where all returns were equal nothing is learned, and no gradient passes: a deviation of 0 has
    none.
    """
    assert batch.parts is not None
    differs = (batch.inverse_std > 0) & jnp.any(batch.episode_advantage != 0)
    anything = lambda x: jnp.arange(x.size, dtype=x.dtype).reshape(x.shape)  # noqa: E731
    total = jax.tree.map(lambda x: jnp.where(differs, x, anything(x)), weighted(batch.parts, coef))
    again = batch_from(batch.trajectory, total)._replace(parts=batch.parts)
    return jax.tree.map(lambda new, old: jnp.where(differs, new, old), again, batch)


def discriminator_step(
    intrinsic: Intrinsic,
    phi: PyTree,
    adam: optax.OptState,
    trajectory: Trajectory,
    reduce: Callable[[PyTree], PyTree],
) -> tuple[PyTree, optax.OptState, Metrics]:
    """Maximum likelihood on the episodes that are paid: all but those of the last stage.

    Adapted latents lie far out: a q that has to account for them too is wider than p(z) wherever
    it cannot tell, and its reward negative. The metrics are those of ``phi`` before it has seen
    these episodes: the means over steps of -log q and of the intrinsic reward (nats).

    Args:
      intrinsic: the reward beside the task's.
      phi: the discriminator.
      adam: its optimiser's state.
      trajectory: leading axes (S, N, K).
      reduce: mean over devices of a pytree.
    """
    episodes = jax.tree.map(lambda x: x[:-1].reshape(-1, *x.shape[3:]), trajectory)

    def loss(phi: PyTree) -> tuple[Float[Array, ""], tuple[Array, ...]]:
        log_q, weight = log_posterior(intrinsic, phi, episodes)
        reward = intrinsic_reward(intrinsic, phi, episodes)[:, :-1]
        surprise = -jnp.mean(log_q * weight)
        return surprise, (surprise, jnp.mean(reward), jnp.mean(weight))

    def step(carry, _):
        phi, adam = carry
        gradient, terms = reduce(jax.grad(loss, has_aux=True)(phi))
        updates, adam = intrinsic.optimizer.update(gradient, adam)
        return (optax.apply_updates(phi, updates), adam), terms

    steps = intrinsic.config.num_gradient_steps
    (phi, adam), terms = jax.lax.scan(step, (phi, adam), length=steps)
    surprise, reward, share = (x[0] for x in terms)
    metrics = {
        "discriminator_loss": surprise / share,
        "intrinsic_reward_pre": reward / share,
    }
    return phi, adam, metrics
