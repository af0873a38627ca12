"""Returns, GAE, the baseline and standardising, by hand and against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from explorax import returns


def test_discounted_returns_by_hand():
    actual = returns.discounted_returns(jnp.array([1.0, 2.0, 4.0]), 0.5)
    np.testing.assert_allclose(actual, [1 + 0.5 * (2 + 0.5 * 4), 2 + 0.5 * 4, 4.0])


def test_gae_by_hand():
    reward, value = jnp.array([1.0, 0.0, 2.0]), jnp.array([0.5, 1.0, -1.0])
    discount, lam = 0.9, 0.8
    delta = [1 + 0.9 * 1.0 - 0.5, 0 + 0.9 * -1.0 - 1.0, 2 + 0 + 1.0]
    a2 = delta[2]
    a1 = delta[1] + discount * lam * a2
    a0 = delta[0] + discount * lam * a1
    np.testing.assert_allclose(returns.gae(reward, value, discount, lam), [a0, a1, a2], rtol=1e-6)


def test_gae_with_lambda_one_is_return_minus_value():
    reward, value = jax.random.normal(jax.random.key(0), (2, 4, 10))
    expected = returns.discounted_returns(reward, 0.99) - value
    np.testing.assert_allclose(returns.gae(reward, value, 0.99, 1.0), expected, atol=1e-5)


def test_baseline_features_are_rllabs_without_the_constant():
    obs = jnp.array([[20.0, -1.0], [3.0, 0.5]])
    expected = [[10, -1, 100, 1, 0, 0, 0], [3, 0.5, 9, 0.25, 0.01, 1e-4, 1e-6]]
    np.testing.assert_allclose(returns.baseline_features(obs), expected, rtol=1e-6)


def test_linear_baseline_matches_numpy_lstsq():
    key_obs, key_target = jax.random.split(jax.random.key(1))
    obs = jax.random.normal(key_obs, (6, 30, 4))
    target = jax.random.normal(key_target, (6, 30)) + 100.0 + obs[..., 0] - obs[..., 1] ** 2
    features = np.asarray(returns.baseline_features(obs), np.float64).reshape(180, -1)
    design = np.concatenate([features, np.ones((180, 1))], axis=1)
    weights, *_ = np.linalg.lstsq(design, np.asarray(target, np.float64).reshape(-1), rcond=None)
    expected = (design @ weights).reshape(6, 30)
    np.testing.assert_allclose(returns.linear_baseline(obs, target), expected, atol=5e-3)


def test_linear_baseline_survives_constant_and_repeated_columns():
    obs = jax.random.normal(jax.random.key(2), (4, 50, 1))
    obs = jnp.concatenate([obs, obs, jnp.full_like(obs, 7.0), 1e-7 * obs], axis=-1)
    target = 3.0 * obs[..., 0] + 5.0
    np.testing.assert_allclose(returns.linear_baseline(obs, target), target, atol=1e-2)


def test_standardize():
    x = jnp.array([1.0, 2.0, 3.0, 10.0])
    actual = returns.standardize(x)
    np.testing.assert_allclose(actual, (x - 4.0) / np.std(np.asarray(x)), rtol=1e-4)


@pytest.mark.parametrize("value", [0.0, -440.1234, 1e-3, 7e5])
def test_standardize_of_equal_numbers_is_zero(value):
    x = jnp.full((20, 100), value)
    np.testing.assert_array_equal(returns.standardize(x, floor=1e-5 * abs(value)), 0.0)
