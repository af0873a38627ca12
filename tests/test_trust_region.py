"""The trust region on quadratics, whose answers are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse.linalg
from jax.flatten_util import ravel_pytree

from explorax import distributions
from explorax.config import TRPOConfig
from explorax.trust_region import (
    conjugate_gradients,
    curvature_product,
    natural_direction,
    trust_region_step,
)
from explorax.types import Gaussian, SkillChoice

CONFIG = TRPOConfig(damping=0.0)


def same(tree):
    """What acts, where a distribution is its parameters; and the mean over one device."""
    return tree


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


def test_curvature_product_is_that_of_the_jacobian():
    params, matrix, kl, vector, unravel = quadratic()

    def act(p):
        return jax.tree.map(lambda x: x + jnp.sin(3.0 * x), p)  # its Jacobian at 0 is 4 I

    product = curvature_product(act, kl, params, same)(unravel(vector))
    np.testing.assert_allclose(ravel_pytree(product)[0], 16.0 * matrix @ vector, rtol=1e-4)


def test_curvature_of_choices_is_the_hessian_of_their_kl():
    """Skills with residual actions, whose distribution is no Gaussian."""
    features = jax.random.normal(jax.random.key(0), (20, 3))
    params = {
        "logits": jax.random.normal(jax.random.key(1), (3, 4)),
        "mean": jnp.ones((3, 2)),
        "log_std": jnp.array([-0.5, 0.3]),
    }

    def act(p):
        mean = jnp.tanh(features @ p["mean"])
        residual = Gaussian(mean, jnp.broadcast_to(p["log_std"], mean.shape))
        return SkillChoice(jnp.tanh(features @ p["logits"]), residual)

    sampling = act(params)

    def kl(dist):
        return jnp.mean(distributions.kl(sampling, dist))

    flat, unravel = ravel_pytree(params)
    hessian = jax.hessian(lambda x: kl(act(unravel(x))))(flat)
    product = curvature_product(act, kl, params, same)
    rows = jax.vmap(lambda v: ravel_pytree(product(unravel(v)))[0])(jnp.eye(len(flat)))
    np.testing.assert_allclose(rows, hessian, atol=1e-5 * np.abs(hessian).max())


@pytest.mark.parametrize("num_steps", [1, 3, 6, 20])
def test_conjugate_gradients_are_as_scipys(num_steps):
    _, matrix, _, target, _ = quadratic()
    x, residual = conjugate_gradients(lambda v: matrix @ v, target, num_steps)
    a, b = np.asarray(matrix, np.float64), np.asarray(target, np.float64)
    expected, _ = scipy.sparse.linalg.cg(a, b, rtol=0.0, atol=1e-12, maxiter=num_steps)
    np.testing.assert_allclose(x, expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(residual, target - matrix @ x, atol=1e-4)


def test_conjugate_gradients_of_nothing_are_nothing():
    _, matrix, _, target, _ = quadratic()
    x, residual = conjugate_gradients(lambda v: matrix @ v, 0.0 * target, 10)
    np.testing.assert_array_equal(x, 0.0)
    np.testing.assert_array_equal(residual, 0.0)


def test_natural_direction_matches_a_dense_solve():
    params, matrix, kl, gradient, unravel = quadratic()
    curvature = curvature_product(same, kl, params, same)
    direction = ravel_pytree(natural_direction(curvature, unravel(gradient), CONFIG))[0]
    x = np.linalg.solve(matrix, gradient)
    expected = -np.sqrt(2 * CONFIG.max_kl / (x @ matrix @ x)) * x
    np.testing.assert_allclose(direction, expected, rtol=1e-3)


def test_step_lies_on_the_boundary_when_the_loss_is_linear():
    params, matrix, kl, gradient, _ = quadratic()

    def loss_and_kl(p):
        return gradient @ ravel_pytree(p)[0], kl(p)

    new, info = trust_region_step(loss_and_kl, same, kl, params, CONFIG)
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

    _, info = trust_region_step(loss_and_kl, same, kl, params, CONFIG)
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

        new, info = trust_region_step(at_origin, same, kl, params, CONFIG)
        assert not info.accepted
        np.testing.assert_array_equal(ravel_pytree(new)[0], ravel_pytree(params)[0])
        assert info.kl == 0.0
