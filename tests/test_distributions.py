"""Closed forms of the diagonal Gaussian."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from explorax import distributions
from explorax.types import Gaussian


def gaussian(seed: int, shape=(5, 3)) -> Gaussian:
    mean, log_std = jax.random.normal(jax.random.key(seed), (2, *shape))
    return Gaussian(mean, 0.5 * log_std)


def test_log_prob_is_summed_over_dimensions():
    dist = gaussian(0)
    value = jax.random.normal(jax.random.key(1), (5, 3))
    expected = stats.norm.logpdf(value, dist.mean, np.exp(dist.log_std)).sum(axis=-1)
    np.testing.assert_allclose(distributions.log_prob(dist, value), expected, rtol=1e-5)


def test_kl_matches_the_full_covariance_formula():
    p, q = gaussian(2), gaussian(3)
    actual = distributions.kl(p, q)
    for i in range(5):
        p_cov, q_cov = (np.diag(np.exp(2 * np.asarray(d.log_std[i]))) for d in (p, q))
        shift = np.asarray(q.mean[i] - p.mean[i])
        inverse = np.linalg.inv(q_cov)
        log_det = np.log(np.linalg.det(q_cov) / np.linalg.det(p_cov))
        expected = 0.5 * (np.trace(inverse @ p_cov) + shift @ inverse @ shift - 3 + log_det)
        np.testing.assert_allclose(actual[i], expected, rtol=1e-4)


def test_kl_of_equals_is_zero_and_of_no_dimensions_too():
    p = gaussian(4)
    np.testing.assert_allclose(distributions.kl(p, p), 0.0, atol=1e-6)
    empty = Gaussian(jnp.zeros((5, 0)), jnp.zeros((5, 0)))
    np.testing.assert_array_equal(distributions.kl(empty, empty), np.zeros(5))


def test_sample_has_the_mean_and_deviation_it_says():
    dist = Gaussian(jnp.array([1.0, -2.0]), jnp.log(jnp.array([0.5, 3.0])))
    noise = jax.random.normal(jax.random.key(5), (100_000, 2))
    draws = distributions.sample(dist, noise)
    np.testing.assert_allclose(draws.mean(axis=0), [1.0, -2.0], atol=0.03)
    np.testing.assert_allclose(draws.std(axis=0), [0.5, 3.0], rtol=0.01)
