"""The trust region on quadratics, whose answers are known."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from explorax.config import TRPOConfig
from explorax.trust_region import curvature_product, natural_direction, trust_region_step

CONFIG = TRPOConfig(damping=0.0)


def quadratic(seed: int = 0):
    """A pytree of 6 numbers, its dense curvature matrix and a gradient."""
    root = jax.random.normal(jax.random.key(seed), (6, 6))
    matrix = root @ root.T + 0.5 * jnp.eye(6)
    params = {"a": jnp.zeros((2, 2)), "b": jnp.zeros(2)}
    _, unravel = ravel_pytree(params)

    def kl(p):
        x = ravel_pytree(p)[0]
        return 0.5 * x @ matrix @ x

    gradient = jax.random.normal(jax.random.key(seed + 1), (6,))
    return params, matrix, kl, gradient, unravel


def test_curvature_product_is_the_hessian():
    params, matrix, kl, vector, unravel = quadratic()
    product = curvature_product(kl, params, lambda tree: tree)(unravel(vector))
    np.testing.assert_allclose(ravel_pytree(product)[0], matrix @ vector, rtol=1e-4)


def test_natural_direction_matches_a_dense_solve():
    params, matrix, kl, gradient, unravel = quadratic()
    curvature = curvature_product(kl, params, lambda tree: tree)
    direction = ravel_pytree(natural_direction(curvature, unravel(gradient), CONFIG))[0]
    x = np.linalg.solve(matrix, gradient)
    expected = -np.sqrt(2 * CONFIG.max_kl / (x @ matrix @ x)) * x
    np.testing.assert_allclose(direction, expected, rtol=1e-3)


def test_step_lies_on_the_boundary_when_the_loss_is_linear():
    params, matrix, kl, gradient, _ = quadratic()

    def loss_and_kl(p):
        return gradient @ ravel_pytree(p)[0], kl(p)

    new, info = trust_region_step(loss_and_kl, kl, params, CONFIG)
    assert info.accepted
    x = np.linalg.solve(matrix, gradient)
    # the full step has exactly max_kl; rounding may cost one backtrack
    full = -np.sqrt(2 * CONFIG.max_kl / (x @ matrix @ x)) * x
    ratio = ravel_pytree(new)[0] / full
    assert np.ptp(ratio) < 1e-2
    assert any(np.isclose(ratio[0], c, rtol=1e-2) for c in (1.0, 0.8))
    np.testing.assert_allclose(info.kl, kl(new), rtol=1e-4)


def test_backtracks_until_the_true_kl_holds():
    params, _, kl, gradient, _ = quadratic()

    def loss_and_kl(p):  # the true KL is ten times the modelled one
        return gradient @ ravel_pytree(p)[0], 10.0 * kl(p)

    _, info = trust_region_step(loss_and_kl, kl, params, CONFIG)
    assert info.accepted
    assert 0.8**2 * CONFIG.max_kl <= info.kl <= CONFIG.max_kl


def test_rejects_a_step_that_never_improves_and_a_nan():
    params, _, kl, gradient, _ = quadratic()
    for bad in (1.0, jnp.nan):

        def loss_and_kl(p, bad=bad):
            x = ravel_pytree(p)[0]
            return gradient @ x + bad * 1e6 * jnp.abs(x).sum(), kl(p)

        def at_origin(p, f=loss_and_kl):  # a gradient that does not see the wall
            loss, k = f(p)
            x = ravel_pytree(p)[0]
            smooth = gradient @ x
            return smooth + jax.lax.stop_gradient(loss - smooth), k

        new, info = trust_region_step(at_origin, kl, params, CONFIG)
        assert not info.accepted
        np.testing.assert_array_equal(ravel_pytree(new)[0], ravel_pytree(params)[0])
        assert info.kl == 0.0
