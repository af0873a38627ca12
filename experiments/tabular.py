"""An MDP small enough to be summed up exactly: two states, two actions, three steps.

It has 32 trajectories, so that every expectation over trajectories is a weighted sum, and every
derivative of the expected return is exact. Policies are softmax tables: theta (2, 2) holds the
logits of the actions per state.
"""

from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from explorax.config import Estimator
from explorax.estimators import SURROGATES

HORIZON = 3
TRANSITION = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.4, 0.6], [0.7, 0.3]]])
"""p(s' | s, a)"""
REWARD = np.array([[0.0, 0.5], [1.0, -0.7]])
"""r(s, a)"""
THETA = np.array([[0.3, -0.4], [0.1, 0.5]])
"""Where everything is measured."""


class Trajectories(NamedTuple):
    """All of them, from state 0."""

    state: np.ndarray  # (32, T)
    action: np.ndarray  # (32, T)
    transition_prob: np.ndarray  # (32,): of the states, given the actions
    reward: np.ndarray  # (32, T)

    @property
    def to_go(self) -> np.ndarray:
        """sum_{t' >= t} r_t', (32, T)."""
        return np.cumsum(self.reward[:, ::-1], axis=-1)[:, ::-1]


def enumerate_trajectories() -> Trajectories:
    """Every sequence of states with every sequence of actions."""
    state = np.array([(0, *rest) for rest in product(range(2), repeat=HORIZON - 1)])
    action = np.array(list(product(range(2), repeat=HORIZON)))
    state, action = np.repeat(state, len(action), axis=0), np.tile(action, (len(state), 1))
    steps = TRANSITION[state[:, :-1], action[:, :-1], state[:, 1:]]
    return Trajectories(state, action, np.prod(steps, axis=-1), REWARD[state, action])


ALL = enumerate_trajectories()


def log_probs(theta: Float[Array, "2 2"]) -> Float[Array, "32 T"]:
    """log pi(a_t | s_t) of every trajectory."""
    return jax.nn.log_softmax(theta)[ALL.state, ALL.action]


def probs(theta: Float[Array, "2 2"]) -> Float[Array, "32"]:
    """P(trajectory)."""
    return jnp.asarray(ALL.transition_prob) * jnp.exp(jnp.sum(log_probs(theta), axis=-1))


def expected_return(theta: Float[Array, "2 2"]) -> Float[Array, ""]:
    """J(theta), undiscounted."""
    return probs(theta) @ jnp.asarray(ALL.reward.sum(axis=-1))


def values(theta: Float[Array, "2 2"]) -> tuple[Float[Array, "T 2 2"], Float[Array, "T 2"]]:
    """Q_t(s, a) and V_t(s), from the last step backwards."""
    policy, after = jax.nn.softmax(theta), jnp.zeros(2)
    steps = []
    for _ in range(HORIZON):
        q = REWARD + TRANSITION @ after
        after = jnp.sum(policy * q, axis=-1)
        steps.append((q, after))
    return jax.tree.map(lambda *x: jnp.stack(x), *steps[::-1])


def advantages(theta: Float[Array, "2 2"]) -> Float[Array, "32 T"]:
    """Return to go minus V_t(s_t)."""
    return jnp.asarray(ALL.to_go) - values(theta)[1][np.arange(HORIZON), ALL.state]


def surrogate(
    estimator: Estimator, theta: Array, weights: Float[Array, "32"], advantage: Array
) -> Float[Array, ""]:
    """The inner surrogate, summed over time, of trajectories in shares ``weights``."""
    return HORIZON * weights @ SURROGATES[estimator](log_probs(theta), advantage)


def expected_hessian(estimator: Estimator, theta: Float[Array, "2 2"]) -> Float[Array, "4 4"]:
    """What the Hessian of the surrogate is on average: that of infinitely many episodes."""
    p, advantage = probs(theta), advantages(theta)
    return _square(jax.hessian(lambda x: surrogate(estimator, x, p, advantage))(theta))


def hessian_terms(theta: Float[Array, "2 2"]) -> tuple[Array, Array, Array]:
    """H1, H2 and H12 of Rothfuss 2018 (arXiv 1810.06784, appendix B), each (4, 4).

    With V_t(s_t) subtracted from the return, which moves weight from H1 to H2 alone.
    """
    p, advantage = probs(theta), advantages(theta)
    score = jax.jacobian(log_probs)(theta).reshape(-1, HORIZON, 4)
    curvature = jax.hessian(log_probs)(theta).reshape(-1, HORIZON, 4, 4)
    taken = (np.arange(HORIZON), ALL.state, ALL.action)
    q_gradient = jax.jacobian(lambda x: values(x)[0][taken])(theta).reshape(-1, HORIZON, 4)
    return (
        jnp.einsum("n,nt,nti,ntj->ij", p, advantage, score, score),
        jnp.einsum("n,nt,ntij->ij", p, advantage, curvature),
        jnp.einsum("n,nti,ntj->ij", p, score, q_gradient),
    )


def exact_hessian(theta: Float[Array, "2 2"]) -> Float[Array, "4 4"]:
    """The Hessian of the expected return."""
    return _square(jax.hessian(expected_return)(theta))


def _square(hessian: Array) -> Array:
    return hessian.reshape(4, 4)


def exact_meta_gradient(theta: Float[Array, "2 2"], inner_lr: float) -> Float[Array, "2 2"]:
    """d J(theta + alpha dJ(theta)) / d theta."""
    adapted = lambda x: x + inner_lr * jax.grad(expected_return)(x)  # noqa: E731
    return jax.grad(lambda x: expected_return(adapted(x)))(theta)


def sampled_meta_gradient(
    estimator: Estimator,
    theta: Float[Array, "2 2"],
    inner_lr: float,
    counts: Float[Array, "32"],
) -> Float[Array, "2 2"]:
    """The same from episodes, of which ``counts`` says how often each trajectory came up.

    The return after the inner step is exact: what is seen is the inner surrogate alone.
    """
    advantage, weights = advantages(theta), counts / jnp.sum(counts)

    def objective(x: Array) -> Array:
        gradient = jax.grad(lambda y: surrogate(estimator, y, weights, advantage))(x)
        if estimator == "first_order":
            gradient = jax.lax.stop_gradient(gradient)
        value = expected_return(x + inner_lr * gradient)
        if estimator == "emaml":
            credit = jax.lax.stop_gradient(value) - expected_return(theta)
            value += credit * counts @ jnp.sum(log_probs(x), axis=-1)
        return value

    return jax.grad(objective)(theta)
