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

from explorax.adapt import Batch, StepSizes, inner_step
from explorax.algos.maml import maml
from explorax.config import Estimator, MetaConfig
from explorax.estimators import SURROGATES
from explorax.nets import Policy
from explorax.outer import sampling_surrogate
from explorax.rollout import TaskParams
from explorax.types import Gaussian, SkillChoice, Trajectory

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


def inner_path(
    theta: Float[Array, "2 2"], inner_lr: float, num_steps: int
) -> list[Float[Array, "2 2"]]:
    """theta, and what each of ``num_steps`` exact inner steps makes of it."""
    path = [theta]
    for _ in range(num_steps):
        path.append(path[-1] + inner_lr * jax.grad(expected_return)(path[-1]))
    return path


def exact_meta_gradient(
    theta: Float[Array, "2 2"], inner_lr: float, num_steps: int = 1
) -> Float[Array, "2 2"]:
    """d J(theta') / d theta, where theta' = theta + alpha dJ(theta), so many times."""
    return jax.grad(lambda x: expected_return(inner_path(x, inner_lr, num_steps)[-1]))(theta)


POLICY = Policy(
    init=lambda _: jnp.asarray(THETA),
    apply=lambda theta, obs, _: SkillChoice(obs @ theta, _no_numbers(obs.shape[:-1])),
)
"""The softmax table for the library: states and actions are one-hot."""


def _no_numbers(shape: tuple[int, ...]) -> Gaussian:
    return Gaussian(jnp.zeros((*shape, 0)), jnp.zeros((*shape, 0)))


def recorded(theta: Float[Array, "2 2"], counts: Float[Array, "32"]) -> Batch:
    """Episodes of ``theta``, of which ``counts`` says how often each trajectory came up.

    The library takes means over the 32: rewards and advantages, which are exact and not
    standardised, are weighted so that these are means over the episodes. ``alive`` counts them.
    """
    num = len(ALL.reward)
    weight = (num * counts / jnp.sum(counts))[:, None]
    obs, reward = jnp.eye(2)[ALL.state], weight * ALL.reward
    nothing = jnp.zeros((num, 0))
    trajectory = Trajectory(
        obs=obs,
        action=jnp.eye(2)[ALL.action],
        action_dist=POLICY.apply(theta, obs, nothing),
        log_prob=log_probs(theta),
        reward=reward,
        task_reward=reward,
        success=jnp.zeros_like(reward),
        alive=jnp.broadcast_to(counts[:, None], reward.shape),
        latent=nothing,
        latent_noise=nothing,
        latent_log_prob=jnp.zeros(num),
    )
    return Batch(trajectory, weight * advantages(theta), jnp.zeros(num), jnp.ones(()))


def meta_learner(estimator: Estimator, num_steps: int) -> MetaConfig:
    """MAML without discounts, outer steps by the plain ratio."""
    return maml(
        estimator=estimator,
        optimizer="trpo",
        num_inner_steps=num_steps,
        meta_batch_size=2,
        discount=1.0,
    )


def step_sizes(inner_lr: float) -> StepSizes:
    """alpha for surrogates that are means over time."""
    return StepSizes(_no_numbers(()), jnp.asarray(HORIZON * inner_lr))


def sampled_meta_gradient(
    estimator: Estimator,
    theta: Float[Array, "2 2"],
    inner_lr: float,
    counts: Float[Array, "S 32"],
) -> Float[Array, "2 2"]:
    """The same from episodes: ``counts`` says how often each trajectory came up at each inner step.

    The return after the inner steps is exact: what is seen is the inner surrogate alone.
    """
    config, alpha = meta_learner(estimator, len(counts)), step_sizes(inner_lr)

    def objective(x: Array) -> Array:
        params, stages = TaskParams(_no_numbers(()), x), []
        for counts_s in counts:
            batch = recorded(jax.lax.stop_gradient(params.policy), counts_s)
            stages.append((params, batch))
            params = inner_step(POLICY, config, params, alpha, batch)
        value = expected_return(params.policy)
        if estimator == "emaml":
            credit = jax.lax.stop_gradient(value) - expected_return(theta)
            drawn = (sampling_surrogate(POLICY, config, p, b, credit) for p, b in stages)
            value += HORIZON * sum(drawn)
        return value

    return jax.grad(objective)(theta)
