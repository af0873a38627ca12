"""From rewards to advantages: discounting, GAE, the linear baseline, standardising."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float


def discounted_returns(
    reward: Float[Array, "*batch T"], discount: float
) -> Float[Array, "*batch T"]:
    """R_t = r_t + discount * R_{t+1}, with R_T = 0 after the last step."""
    return gae(reward, jnp.zeros_like(reward), discount, 1.0)


def gae(
    reward: Float[Array, "*batch T"],
    value: Float[Array, "*batch T"],
    discount: float,
    gae_lambda: float,
) -> Float[Array, "*batch T"]:
    """Generalised advantage estimates of fixed-horizon episodes (Schulman 2016, eq. 16).

    A_t = delta_t + discount * gae_lambda * A_{t+1}, delta_t = r_t + discount * V_{t+1} - V_t. The
    value after the last step is 0: the episode ends there.
    """
    next_value = jnp.concatenate([value[..., 1:], jnp.zeros_like(value[..., :1])], axis=-1)
    delta = reward + discount * next_value - value

    def step(advantage, delta_t):
        advantage = delta_t + discount * gae_lambda * advantage
        return advantage, advantage

    time_first = jnp.moveaxis(delta, -1, 0)
    _, advantage = jax.lax.scan(step, jnp.zeros_like(time_first[0]), time_first, reverse=True)
    return jnp.moveaxis(advantage, 0, -1)


def baseline_features(obs: Float[Array, "*batch T O"]) -> Float[Array, "*batch T F"]:
    """clip(obs, +-10), its square, t/100, (t/100)^2, (t/100)^3 (rllab's LinearFeatureBaseline).

    The constant feature is left out: ``linear_baseline`` centres instead.
    """
    clipped = jnp.clip(obs, -10.0, 10.0)
    t = jnp.arange(obs.shape[-2], dtype=obs.dtype)[:, None] / 100.0
    time = jnp.concatenate([t, jnp.square(t), t**3], axis=-1)
    time = jnp.broadcast_to(time, (*obs.shape[:-1], 3))
    return jnp.concatenate([clipped, jnp.square(clipped), time], axis=-1)


def linear_baseline(
    obs: Float[Array, "K T O"], target: Float[Array, "K T"], ridge: float = 1e-5
) -> Float[Array, "K T"]:
    """Ridge regression of ``target`` on ``baseline_features``, fitted on all K*T steps: its values.

    Features are standardised first and the intercept is not penalised, so float32 suffices: the
    raw normal equations mix 1e2 with 1e-6 and their Cholesky factor is NaN. Should it fail all the
    same, the values are the mean of ``target``.
    """
    chex.assert_rank([obs, target], [3, 2])
    features = baseline_features(obs)
    flat = features.reshape(-1, features.shape[-1])
    mean = jnp.mean(flat, axis=0)
    scale = 1.0 / (jnp.std(flat, axis=0) + 1e-4)
    flat = (flat - mean) * scale
    target_mean = jnp.mean(target)
    residual = target.reshape(-1) - target_mean
    num_samples = flat.shape[0]
    gram = flat.T @ flat / num_samples + ridge * jnp.eye(flat.shape[-1])
    weights = jax.scipy.linalg.solve(gram, flat.T @ residual / num_samples, assume_a="pos")
    weights = jnp.where(jnp.all(jnp.isfinite(weights)), weights, 0.0)
    return (flat @ weights).reshape(target.shape) + target_mean


def standardize(x: Float[Array, "*shape"], floor: ArrayLike = 1e-8) -> Float[Array, "*shape"]:
    """Zero mean and unit deviation over all axes; 0 where the deviation is below ``floor``.

    The floor keeps rounding errors among equal returns from being blown up to size 1.
    """
    return (x - jnp.mean(x)) * inverse_std(x, floor)


def inverse_std(x: Float[Array, "*shape"], floor: ArrayLike = 1e-8) -> Float[Array, ""]:
    """1 / the deviation over all axes; 0 where that is below ``floor``."""
    std = jnp.std(x)
    return jnp.where(std > floor, 1.0 / jnp.maximum(std, floor), 0.0)
