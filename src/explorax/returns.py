"""Rewards for states, and from rewards to advantages: GAE, the linear baseline, standardising."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float


def reached_states(
    obs: Float[Array, "K T O"], alive: Float[Array, "K T"]
) -> tuple[Float[Array, "K T-1 O"], Float[Array, "K T-1"]]:
    """The states that all steps but the last reached, and 1.0 where there was such a step.

    Step t reached obs[t + 1]; a trajectory does not hold what its last step reached. The state in
    which an episode ends is among them: the rollout repeats it from there on.
    """
    return obs[:, 1:], alive[:, :-1]


def pad_rewards(
    reward: Float[Array, "K T-1"], weight: Float[Array, "K T-1"]
) -> Float[Array, "K T"]:
    """Rewards for ``reached_states``: 0 where ``weight`` is 0, and for the last step."""
    return jnp.pad(reward * weight, ((0, 0), (0, 1)))


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
    obs: Float[Array, "K T O"],
    target: Float[Array, "K T"],
    weight: Float[Array, "K T"] | None = None,
    ridge: float = 1e-5,
) -> Float[Array, "K T"]:
    """Ridge regression of ``target`` on ``baseline_features``, fitted on all K*T steps: its values.

    Features are standardised first and the intercept is not penalised, so float32 suffices: the
    raw normal equations mix 1e2 with 1e-6 and their Cholesky factor is NaN. Should it fail all the
    same, the values are the mean of ``target``.

    Args:
      obs: of K episodes.
      target: returns to go.
      weight: of each step, 0 where the episode has ended; there the value is 0 too. None: all 1.
      ridge: penalty per sample.
    """
    chex.assert_rank([obs, target], [3, 2])
    weight = jnp.ones_like(target) if weight is None else weight
    features = baseline_features(obs)
    flat, w = features.reshape(-1, features.shape[-1]), weight.reshape(-1)
    flat = flat - _mean(flat, w[:, None], axis=0)
    flat = flat / (jnp.sqrt(_mean(jnp.square(flat), w[:, None], axis=0)) + 1e-4)
    target_mean = _mean(target, weight)
    residual = target.reshape(-1) - target_mean
    num_samples = jnp.sum(w)
    weighted = flat * w[:, None]
    gram = weighted.T @ flat / num_samples + ridge * jnp.eye(flat.shape[-1])
    solution = jax.scipy.linalg.solve(gram, weighted.T @ residual / num_samples, assume_a="pos")
    solution = jnp.where(jnp.all(jnp.isfinite(solution)), solution, 0.0)
    return ((flat @ solution).reshape(target.shape) + target_mean) * weight


def standardize(
    x: Float[Array, "*shape"],
    floor: ArrayLike = 1e-8,
    weight: Float[Array, "*shape"] | None = None,
) -> Float[Array, "*shape"]:
    """Zero mean and unit deviation over all axes; 0 where the deviation is below ``floor``.

    The floor keeps rounding errors among equal returns from being blown up to size 1. Entries of
    ``weight`` 0 do not count, and become 0.
    """
    weight = jnp.ones_like(x) if weight is None else weight
    return (x - _mean(x, weight)) * inverse_std(x, floor, weight) * weight


def inverse_std(
    x: Float[Array, "*shape"],
    floor: ArrayLike = 1e-8,
    weight: Float[Array, "*shape"] | None = None,
) -> Float[Array, ""]:
    """1 / the (weighted) deviation over all axes; 0 where that is below ``floor``."""
    weight = jnp.ones_like(x) if weight is None else weight
    std = jnp.sqrt(_mean(jnp.square(x - _mean(x, weight)), weight))
    return jnp.where(std > floor, 1.0 / jnp.maximum(std, floor), 0.0)


def _mean(x: Array, weight: Array, axis: int | None = None) -> Array:
    return jnp.sum(x * weight, axis=axis) / jnp.sum(weight, axis=axis)
