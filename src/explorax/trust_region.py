"""A natural-gradient step inside a trust region, on pytrees (Schulman 2015, appendix C)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax.tree_utils as otu
from jaxtyping import Array, Bool, Float

from explorax.config import TRPOConfig
from explorax.types import PyTree


class StepInfo(NamedTuple):
    """How the line search went."""

    kl: Float[Array, ""]  # mean KL of the accepted step, 0 when rejected
    accepted: Bool[Array, ""]


def curvature_product(
    act: Callable[[PyTree], PyTree],
    kl: Callable[[PyTree], Float[Array, ""]],
    params: PyTree,
    reduce: Callable[[PyTree], PyTree],
) -> Callable[[PyTree], PyTree]:
    """v -> J' F J v, J the Jacobian of ``act`` at ``params`` and F the Hessian of ``kl`` there.

    Where ``params`` are those that sampled, the gradient of ``kl`` is 0, and this is the Hessian of
    kl(act(params)) at two thirds of its cost or less: no derivative of a derivative of ``act``. All
    is linearised once, here.
    """
    dist, push = jax.linearize(act, params)
    pull = jax.linear_transpose(push, params)
    _, fisher = jax.linearize(jax.grad(kl), dist)
    return lambda v: reduce(pull(fisher(push(v)))[0])


def conjugate_gradients(
    product: Callable[[PyTree], PyTree], target: PyTree, num_steps: int
) -> tuple[PyTree, PyTree]:
    """x with ``product(x)`` about ``target``, and what is left of it: target - product(x).

    ``product`` is called ``num_steps`` times; jax's takes one more, and gives no residual.
    """

    def dot(a: PyTree, b: PyTree) -> Array:
        return jnp.asarray(otu.tree_vdot(a, b))

    def ratio(a: Array, b: Array) -> Array:
        return jnp.where(b > 0.0, a / b, 0.0)  # 0 once nothing is left

    def step(carry, _):
        x, residual, direction, size = carry
        curved = product(direction)
        length = ratio(size, dot(direction, curved))
        x = otu.tree_add_scale(x, length, direction)
        residual = otu.tree_add_scale(residual, -length, curved)
        new_size = dot(residual, residual)
        direction = otu.tree_add_scale(residual, ratio(new_size, size), direction)
        return (x, residual, direction, new_size), None

    start = (otu.tree_zeros_like(target), target, target, dot(target, target))
    (x, residual, _, _), _ = jax.lax.scan(step, start, length=num_steps)
    return x, residual


def natural_direction(
    curvature: Callable[[PyTree], PyTree], gradient: PyTree, config: TRPOConfig
) -> PyTree:
    """Descent step s = -sqrt(2 max_kl / x.Dx) x with D x = gradient, D = curvature + damping I."""

    def damped(v: PyTree) -> PyTree:
        return otu.tree_add_scale(curvature(v), config.damping, v)

    x, residual = conjugate_gradients(damped, gradient, config.num_cg_steps)
    quadratic = otu.tree_vdot(x, otu.tree_sub(gradient, residual))  # x.Dx
    scale = jnp.sqrt(2.0 * config.max_kl / jnp.maximum(quadratic, 1e-12))
    return otu.tree_scale(-scale, x)


def trust_region_step(
    loss_and_kl: Callable[[PyTree], tuple[Float[Array, ""], Float[Array, ""]]],
    act: Callable[[PyTree], PyTree],
    kl: Callable[[PyTree], Float[Array, ""]],
    params: PyTree,
    config: TRPOConfig,
    reduce: Callable[[PyTree], PyTree] = lambda tree: tree,
) -> tuple[PyTree, StepInfo]:
    """The longest backtracked natural step that lowers the loss within ``max_kl``, or none.

    Args:
      loss_and_kl: params -> (loss to minimise, mean KL from the sampling policy).
      act: params -> action distributions, whose Fisher information is the metric (those of a
        subsample will do).
      kl: what ``act`` gives -> its mean KL from the sampling policy, which ``params`` are.
      params: any pytree of floats.
      config: trust region settings.
      reduce: mean over devices of a pytree (identity on one device).

    Returns:
      The new params (the old ones when no try held) and what the line search did.
    """
    (loss, _), gradient = jax.value_and_grad(loss_and_kl, has_aux=True)(params)
    loss, gradient = reduce((loss, gradient))
    direction = natural_direction(curvature_product(act, kl, params, reduce), gradient, config)

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
