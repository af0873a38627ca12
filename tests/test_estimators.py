"""Every inner surrogate against the exact derivatives of a tiny MDP, in float64."""

import csv
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import estimator_bias
import tabular
from explorax.adapt import inner_step
from explorax.estimators import SURROGATES, dice, loglik, lvc
from explorax.outer import MetaParams, make_objective
from explorax.rollout import TaskParams


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def theta(float64):
    return jnp.asarray(tabular.THETA)


def test_the_trajectories_are_all_there_are(theta):
    np.testing.assert_allclose(tabular.probs(theta).sum(), 1.0, rtol=1e-12)
    np.testing.assert_allclose(tabular.expected_return(theta), tabular.values(theta)[1][0, 0])


@pytest.mark.parametrize("estimator", SURROGATES)
def test_the_first_derivative_is_the_policy_gradient(estimator, theta):
    p, advantage = tabular.probs(theta), tabular.advantages(theta)
    gradient = jax.grad(lambda x: tabular.surrogate(estimator, x, p, advantage))(theta)
    np.testing.assert_allclose(gradient, jax.grad(tabular.expected_return)(theta), rtol=1e-9)


def test_dice_has_the_hessian_of_the_return(theta):
    exact = tabular.exact_hessian(theta)
    np.testing.assert_allclose(tabular.expected_hessian("dice", theta), exact, atol=1e-12)
    h1, h2, h12 = tabular.hessian_terms(theta)
    np.testing.assert_allclose(h1 + h2 + h12 + h12.T, exact, atol=1e-12)


def test_lvc_lacks_the_dependence_of_later_returns_on_theta(theta):
    h1, h2, h12 = tabular.hessian_terms(theta)
    found = tabular.expected_hessian("lvc", theta)
    np.testing.assert_allclose(found, h1 + h2, atol=1e-12)
    assert np.abs(h12).max() > 0.02, "nothing is lacking here"


def test_loglik_lacks_the_scores_product_too(theta):
    """Of a softmax table with the exact baseline nothing at all is left."""
    h1, h2, _ = tabular.hessian_terms(theta)
    np.testing.assert_allclose(tabular.expected_hessian("loglik", theta), h2, atol=1e-12)
    np.testing.assert_allclose(h2, 0.0, atol=1e-12)
    assert np.abs(h1).max() > 0.05, "nothing is lacking here"


LR = 2.0


def errors(theta, num_steps):
    """By estimator, how far the meta-gradient of all trajectories is from the exact one."""
    path = tabular.inner_path(theta, LR, num_steps)
    counts = jnp.stack([tabular.probs(x) for x in path[:-1]])
    exact = tabular.exact_meta_gradient(theta, LR, num_steps)
    meta = lambda name: tabular.sampled_meta_gradient(name, theta, LR, counts)  # noqa: E731
    names = ("dice", "lvc", "loglik", "first_order")
    return {name: np.linalg.norm(meta(name) - exact) for name in names}


def test_the_meta_gradient_of_all_trajectories_is_exact_with_dice_alone(theta):
    error = errors(theta, 1)
    assert error["dice"] < 1e-12
    assert 0.1 < error["lvc"] < error["loglik"] - 0.1
    np.testing.assert_allclose(error["loglik"], error["first_order"])


def test_the_written_biases_are_found_again():
    """By other and fewer episodes, within four standard errors."""
    file = Path(estimator_bias.__file__).parent / "results" / "estimator_bias.csv"
    written = list(csv.DictReader(file.open(encoding="utf-8")))
    found = estimator_bias.measure(estimator_bias.BiasConfig(num_samples=2000, seed=1))
    assert [row["estimator"] for row in found] == [row["estimator"] for row in written]
    for ours, theirs in zip(found, written, strict=True):
        error = 4 * ours["bias_standard_error"]
        assert ours["bias"] == pytest.approx(float(theirs["bias"]), abs=error)
        assert ours["deviation"] == pytest.approx(float(theirs["deviation"]), rel=0.1)
        of_all = "bias_of_infinitely_many_episodes"
        assert str(ours[of_all]) == theirs[of_all]
    errors = {row["estimator"]: row["bias"] for row in found}
    assert errors["dice"] < 0.1 < errors["lvc"] < errors["loglik"] - 0.1


@pytest.mark.parametrize("num_steps", [3, 5])
def test_it_stays_exact_through_several_inner_steps(num_steps, theta):
    error = errors(theta, num_steps)
    assert error["dice"] < 1e-12
    assert min(error["lvc"], error["loglik"], error["first_order"]) > 0.02
    # and it is not that of one step
    shorter, longer = (tabular.exact_meta_gradient(theta, LR, n) for n in (1, num_steps))
    assert np.linalg.norm(longer - shorter) > 0.05


def test_first_order_takes_the_inner_steps_for_constants(theta):
    """Of single episodes: of all of them nothing is left of loglik's derivative either."""
    counts = jnp.eye(len(tabular.ALL.reward))[jnp.array([3, 12])]
    after = theta
    for weights in counts:
        advantage = tabular.advantages(after)
        along = partial(tabular.surrogate, "loglik", weights=weights, advantage=advantage)
        after += LR * jax.grad(along)(after)
    meta = lambda name: tabular.sampled_meta_gradient(name, theta, LR, counts)  # noqa: E731
    np.testing.assert_allclose(
        meta("first_order"), jax.grad(tabular.expected_return)(after), rtol=1e-9
    )
    assert np.linalg.norm(meta("loglik") - meta("first_order")) > 0.02


def expected_after_an_episode(theta):
    """sum_tau P(tau) J(theta'(tau)), as a function of theta: what E-MAML maximises."""
    advantage, one_hot = tabular.advantages(theta), jnp.eye(len(tabular.ALL.reward))

    def objective(x):
        def after(weights):
            gradient = jax.grad(lambda y: tabular.surrogate("loglik", y, weights, advantage))(x)
            return tabular.expected_return(x + LR * gradient)

        return tabular.probs(x) @ jax.vmap(after)(one_hot)

    return objective


def test_emaml_is_unbiased_for_a_single_episode(theta):
    """Whatever the baseline of the credit."""
    one_hot = jnp.eye(len(tabular.ALL.reward))
    sample = lambda counts: tabular.sampled_meta_gradient("emaml", theta, LR, counts)  # noqa: E731
    sampled = jax.jit(jax.vmap(sample))(one_hot[:, None])
    expected = jnp.einsum("n,nij->ij", tabular.probs(theta), sampled)
    exact = jax.jit(jax.grad(expected_after_an_episode(theta)))(theta)
    np.testing.assert_allclose(expected, exact, atol=1e-12)


def test_the_outer_loss_of_emaml_is_unbiased_for_two_tasks_of_an_episode_each(theta):
    """Its credit's baseline is the other task's return: the mean over all pairs is exact."""
    config, alpha = tabular.meta_learner("emaml", 1), tabular.step_sizes(LR)
    nothing = tabular.step_sizes(LR).latent
    one_hot = jnp.eye(len(tabular.ALL.reward))
    meta = MetaParams(theta, jax.tree.map(lambda x: x[None], nothing), alpha)

    def stages(counts):
        """An episode before the inner step, and all that may follow, with their probabilities."""
        pre = tabular.recorded(theta, counts)
        after = inner_step(tabular.POLICY, config, TaskParams(nothing, theta), alpha, pre).policy
        post = tabular.recorded(after, tabular.probs(after))
        return jax.tree.map(lambda *x: jnp.stack(x), pre, post)

    @jax.jit
    def gradient(one, other):
        pair = jax.tree.map(lambda *x: jnp.stack(x, axis=1), stages(one), stages(other))
        index = jnp.zeros(2, int)
        objective = make_objective(tabular.POLICY, config, index, pair, lambda tree: tree)
        return -tabular.HORIZON * jax.grad(lambda m: objective.loss(m).loss)(meta).policy

    pairs = jax.vmap(jax.vmap(gradient, (None, 0)), (0, None))(one_hot, one_hot)
    p = tabular.probs(theta)
    exact = jax.jit(jax.grad(expected_after_an_episode(theta)))(theta)
    np.testing.assert_allclose(jnp.einsum("n,m,nmij->ij", p, p, pairs), exact, atol=1e-12)


def test_one_decision_makes_lvc_and_dice_the_same():
    log_prob, advantage = jnp.array([[-0.3], [-1.2]]), jnp.array([[0.7], [-2.0]])
    for derivative in (jax.grad, jax.hessian):
        left, right = (derivative(lambda x, s=s: s(x, advantage).sum()) for s in (lvc, dice))
        np.testing.assert_allclose(left(log_prob), right(log_prob), rtol=1e-12)


def test_values_by_hand():
    log_prob, advantage = jnp.log(jnp.array([0.5, 0.25])), jnp.array([1.0, 3.0])
    np.testing.assert_allclose(loglik(log_prob, advantage), (np.log(0.5) + 3 * np.log(0.25)) / 2)
    np.testing.assert_allclose(lvc(log_prob, advantage), 2.0)
    np.testing.assert_allclose(dice(log_prob, advantage), 0.0)
    # d^2 dice / dl_0 dl_1: box(a_0, a_1) - box(a_0) carries the product of both scores
    np.testing.assert_allclose(jax.hessian(dice)(log_prob, advantage)[0, 1], 1.5)
