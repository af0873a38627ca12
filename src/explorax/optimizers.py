"""The outer optimisers: ppo, promp (ppo with a KL penalty before adaptation) and trpo."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from explorax.adapt import Batch
from explorax.config import MetaConfig, ProMPConfig
from explorax.nets import Policy
from explorax.outer import MetaParams, Objective, TaskLoss, make_objective
from explorax.trust_region import trust_region_step
from explorax.types import Metrics, PyTree


class OuterState(NamedTuple):
    """What an optimiser carries from one meta-update to the next."""

    adam: optax.OptState  # () for trpo
    kl_coef: Float[Array, ""]  # weight of promp's KL penalty; 0 for the others


def init_outer(config: MetaConfig, learned: PyTree) -> OuterState:
    """The state before the first step."""
    adam = () if config.optimizer == "trpo" else adam_optimizer(config).init(learned)
    kl_coef = config.promp.init_kl_coef if config.optimizer == "promp" else 0.0
    return OuterState(adam, jnp.full((), kl_coef, dtype=float))


def outer_step(
    policy: Policy,
    config: MetaConfig,
    meta: MetaParams,
    state: OuterState,
    task_index: Int[Array, " N"],
    batch: Batch,
    reduce: Callable[[PyTree], PyTree],
) -> tuple[MetaParams, OuterState, Metrics]:
    """Improves ``meta`` on the sampled stages with the configured optimiser.

    Args:
      policy: pi_theta(a | s, z).
      config: the meta-learner.
      meta: what is learned.
      state: the optimiser's.
      task_index: the rows of ``meta.latent`` that were drawn.
      batch: their episodes, leading axes (S, N).
      reduce: mean over devices of a pytree.
    """
    objective = make_objective(policy, config, task_index, batch, reduce)
    return minimise(objective, meta, state, config, reduce)


def minimise(
    objective: Objective,
    learned: PyTree,
    state: OuterState,
    config: MetaConfig,
    reduce: Callable[[PyTree], PyTree],
) -> tuple[PyTree, OuterState, Metrics]:
    """Improves ``learned`` with the configured optimiser.

    Args:
      objective: of the (local) tasks.
      learned: where it is evaluated first; any pytree of floats.
      state: the optimiser's.
      config: the meta-learner.
      reduce: mean over devices of a pytree.
    """
    if config.optimizer != "trpo":
        return ppo_outer_step(objective.loss, learned, state, config, reduce)
    learned, metrics = trpo_outer_step(objective, learned, config, reduce)
    return learned, state, metrics


def ppo_outer_step(
    mean_loss: Callable[[PyTree], TaskLoss],
    learned: PyTree,
    state: OuterState,
    config: MetaConfig,
    reduce: Callable[[PyTree], PyTree],
) -> tuple[PyTree, OuterState, Metrics]:
    """A few full-batch Adam steps on the clipped surrogate (Schulman 2017, eq. 7).

    For promp the loss has a penalty on the KL from the pre-update sampling policies (Rothfuss 2018,
    section 6); its weight adapts afterwards (``adapted_kl_coef``).

    Adam is dense: the latents of tasks that were not drawn move on by their momentum. The metrics
    ``kl_policy``, ``kl_pre`` and ``clip_fraction`` are those before the last epoch: a pass after it
    would cost what a third of an epoch does.
    """
    optimizer = adam_optimizer(config)

    def epoch(carry, _):
        learned, adam = carry

        def loss(x: PyTree):
            terms = mean_loss(x)
            return terms.loss + state.kl_coef * terms.kl_pre, terms

        gradient, terms = jax.grad(loss, has_aux=True)(learned)
        gradient, terms = reduce((gradient, terms))
        updates, adam = optimizer.update(gradient, adam, learned)
        norm = optax.tree_utils.tree_norm(gradient)
        return (optax.apply_updates(learned, updates), adam), (terms, norm)

    (learned, adam), (terms, norm) = jax.lax.scan(
        epoch, (learned, state.adam), length=config.ppo.num_epochs
    )
    last = jax.tree.map(lambda x: x[-1], terms)
    metrics = {
        "kl_policy": last.kl_policy,
        "clip_fraction": last.clip_fraction,
        "gradient_norm": norm[0],
    }
    kl_coef = state.kl_coef
    if config.optimizer == "promp":
        metrics |= {"kl_pre": last.kl_pre, "kl_coef": kl_coef}
        kl_coef = adapted_kl_coef(kl_coef, last.kl_pre, config.promp)
    return learned, OuterState(adam, kl_coef), metrics


def adapted_kl_coef(
    kl_coef: Float[Array, ""], kl: Float[Array, ""], config: ProMPConfig
) -> Float[Array, ""]:
    """The adaptive KL penalty of PPO (Schulman 2017, arXiv 1707.06347, section 4).

    The weight is halved if KL < target / 1.5 and doubled if KL > 1.5 target. ProMP's public code
    has the same rule, with one weight per inner step. Ours never falls below its initial value:
    from near 0 it would take too long to rise again.
    """
    target = config.target_kl
    factor = jnp.where(kl < target / 1.5, 0.5, jnp.where(kl > 1.5 * target, 2.0, 1.0))
    return jnp.maximum(kl_coef * factor, config.init_kl_coef)


def adam_optimizer(config: MetaConfig) -> optax.GradientTransformation:
    """Adam; its moments and its count of steps live in the train state."""
    ppo = config.ppo
    if ppo.decay_iterations == 0:
        return optax.adam(ppo.learning_rate)
    num_steps = ppo.decay_iterations * ppo.num_epochs
    return optax.adam(optax.linear_schedule(ppo.learning_rate, 0.0, num_steps))


def trpo_outer_step(
    objective: Objective,
    learned: PyTree,
    config: MetaConfig,
    reduce: Callable[[PyTree], PyTree],
) -> tuple[PyTree, Metrics]:
    """One trust-region step on all that is learned: theta, the latents and alpha together."""

    def loss_and_kl(x: PyTree):
        terms = objective.loss(x)
        return terms.loss, terms.kl_policy

    learned, info = trust_region_step(
        loss_and_kl, objective.act, objective.kl, learned, config.trpo, reduce
    )
    metrics = {
        "kl_policy": info.kl,
        "line_search_ok": info.accepted.astype(jnp.float32),
    }
    return learned, metrics
