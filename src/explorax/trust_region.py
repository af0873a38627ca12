"""A natural-gradient step inside a trust region, on pytrees (Schulman 2015, appendix C)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax.tree_utils as otu
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, Bool, Float

from explorax.config import TRPOConfig
from explorax.types import PyTree


class StepInfo(NamedTuple):
    """How the line search went."""

    kl: Float[Array, ""]  # mean KL of the accepted step, 0 when rejected
    accepted: Bool[Array, ""]


def curvature_product(
    kl: Callable[[PyTree], Float[Array, ""]], params: PyTree, reduce: Callable[[PyTree], PyTree]
) -> Callable[[PyTree], PyTree]:
    """v -> H v, H the Hessian of ``kl`` at ``params``; the gradient is linearised once, here."""
    _, hessian_vector = jax.linearize(jax.grad(kl), params)
    return lambda v: reduce(hessian_vector(v))


def natural_direction(
    curvature: Callable[[PyTree], PyTree], gradient: PyTree, config: TRPOConfig
) -> PyTree:
    """Descent step s = -sqrt(2 max_kl / x.Dx) x with D x = gradient, D = H + damping I."""

    def damped(v: PyTree) -> PyTree:
        return otu.tree_add_scale(curvature(v), config.damping, v)

    x, _ = cg(damped, gradient, maxiter=config.num_cg_steps, tol=1e-10)
    quadratic = otu.tree_vdot(x, damped(x))
    scale = jnp.sqrt(2.0 * config.max_kl / jnp.maximum(quadratic, 1e-12))
    return otu.tree_scale(-scale, x)


def trust_region_step(
    loss_and_kl: Callable[[PyTree], tuple[Float[Array, ""], Float[Array, ""]]],
    curvature_kl: Callable[[PyTree], Float[Array, ""]],
    params: PyTree,
    config: TRPOConfig,
    reduce: Callable[[PyTree], PyTree] = lambda tree: tree,
) -> tuple[PyTree, StepInfo]:
    """The longest backtracked natural step that lowers the loss within ``max_kl``, or none.

    Args:
      loss_and_kl: params -> (loss to minimise, mean KL from the sampling policy).
      curvature_kl: params -> the KL whose Hessian is the metric (a subsample will do).
      params: any pytree of floats.
      config: trust region settings.
      reduce: mean over devices of a pytree (identity on one device).

    Returns:
      The new params (the old ones when no try held) and what the line search did.
    """
    (loss, _), gradient = jax.value_and_grad(loss_and_kl, has_aux=True)(params)
    loss, gradient = reduce((loss, gradient))
    direction = natural_direction(curvature_product(curvature_kl, params, reduce), gradient, config)

    def candidate(tries: Array) -> PyTree:
        return otu.tree_add_scale(params, config.backtrack_ratio**tries, direction)

    def keep_trying(carry):
        tries, info = carry
        return ~info.accepted & (tries < config.max_backtracks)

    def attempt(carry):
        tries, _ = carry
        new_loss, new_kl = reduce(loss_and_kl(candidate(tries)))
        accepted = (new_loss < loss) & (new_kl <= config.max_kl)  # False on NaN
        return tries + 1, StepInfo(new_kl, accepted)

    start = (jnp.zeros((), jnp.int32), StepInfo(jnp.zeros(()), jnp.zeros((), bool)))
    tries, info = jax.lax.while_loop(keep_trying, attempt, start)
    new_params = jax.tree.map(
        lambda new, old: jnp.where(info.accepted, new, old), candidate(tries - 1), params
    )
    return new_params, info._replace(kl=jnp.where(info.accepted, info.kl, 0.0))
