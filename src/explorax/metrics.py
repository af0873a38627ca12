"""Metrics of an update: scalars of what was sampled and of what was learned."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from explorax import distributions
from explorax.adapt import Batch
from explorax.config import MetaConfig
from explorax.outer import MetaParams
from explorax.rollout import returns_and_success
from explorax.types import ActionDist, Metrics, PyTree, SkillChoice


def sampling_metrics(batch: Batch) -> Metrics:
    """Return and success before and after adaptation, and how far actions spread."""
    episode_return, success = returns_and_success(batch.trajectory)  # (S, N, K)
    return {
        "return_pre": jnp.mean(episode_return[0]),
        "return_post": jnp.mean(episode_return[-1]),
        "success_pre": jnp.mean(success[0]),
        "success_post": jnp.mean(success[-1]),
        **spread_metrics(batch.trajectory.action_dist),
    }


def spread_metrics(dist: ActionDist) -> Metrics:
    """Spread of a policy's actions: the standard deviation, and for skills the entropy (nats)."""
    if isinstance(dist, SkillChoice):
        entropy = {"skill_entropy": jnp.mean(distributions.categorical_entropy(dist.logits))}
        has_residual = dist.residual.mean.shape[-1] > 0
        return entropy | (spread_metrics(dist.residual) if has_residual else {})
    return {"action_std": jnp.mean(jnp.exp(dist.log_std))}


def all_finite(tree: PyTree) -> Bool[Array, ""]:
    """Whether no float in ``tree`` is infinite or NaN."""
    floats = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.stack([jnp.all(jnp.isfinite(x)) for x in floats]).all()


def parameter_metrics(config: MetaConfig, params: MetaParams) -> Metrics:
    """Metrics of latents and step sizes, where the method has them."""
    metrics: dict[str, Float[Array, ""]] = {}
    if config.latent_dim > 0:
        prior = distributions.standard_normal_like(params.latent)
        metrics |= {
            "kl_latent": jnp.mean(distributions.kl(params.latent, prior)),
            "latent_mean_std": jnp.std(params.latent.mean),
            "latent_std": jnp.mean(jnp.exp(params.latent.log_std)),
        }
    if config.num_inner_steps > 0 and config.adapt in ("latents", "both"):
        metrics |= {
            "inner_lr_mean": jnp.mean(params.step_sizes.latent.mean),
            "inner_lr_log_std": jnp.mean(params.step_sizes.latent.log_std),
        }
    by_gradient = config.num_inner_steps > 0 and config.memory_size == 0
    if by_gradient and config.adapt in ("params", "both"):
        metrics["inner_lr_params"] = params.step_sizes.policy
    return metrics
