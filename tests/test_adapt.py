"""The inner step against closed forms, and its traps."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from explorax import distributions
from explorax.adapt import (
    Batch,
    StepSizes,
    inner_step,
    latent_objective,
    make_batch,
    per_task,
    policy_objective,
    unroll,
)
from explorax.config import MetaConfig
from explorax.estimators import SURROGATES
from explorax.nets import gaussian_mlp_policy
from explorax.rollout import TaskParams, rollout, task_axes
from explorax.types import Gaussian
from explorax_envs.point import Point
from trees import assert_close

ENV = Point()
CONFIG = MetaConfig(num_episodes=6, hidden_sizes=(8,), latent_dim=2)
POLICY = gaussian_mlp_policy(2, 2, 2, (8,))
LATENT = Gaussian(jnp.array([0.3, -0.2]), jnp.array([0.1, -0.4]))
STEP_SIZES = StepSizes(Gaussian(jnp.array([2.0, 3.0]), jnp.array([0.5, 1.5])), jnp.asarray(0.1))


def sampled(seed: int = 0, env=ENV, num_tasks: int = 1):
    """Parameters, and a batch of episodes of ``num_tasks`` tasks sampled with them."""
    key_policy, key_tasks, key_rollout = jax.random.split(jax.random.key(seed), 3)
    latents = jax.tree.map(lambda x: jnp.tile(x, (num_tasks, 1)), LATENT)
    params = TaskParams(latents, POLICY.init(key_policy))
    tasks = env.sample_tasks(key_tasks, num_tasks)
    keys = jax.random.split(key_rollout, (num_tasks, CONFIG.num_episodes))
    trajectory = rollout(env, POLICY, params, task_axes("latents"), tasks, keys)
    batch = jax.vmap(lambda t: make_batch(t, 0.99, 1.0))(trajectory)
    return params._replace(latent=LATENT), jax.tree.map(lambda x: x[0], batch)


def test_latent_gradient_matches_its_closed_form():
    _, batch = sampled()
    gradient = jax.grad(latent_objective)(LATENT, batch)
    std = np.exp(LATENT.log_std)
    standard = (batch.trajectory.latent - LATENT.mean) / std
    advantage = batch.episode_advantage[:, None]
    np.testing.assert_allclose(gradient.mean, np.mean(advantage * standard / std, 0), rtol=1e-4)
    np.testing.assert_allclose(
        gradient.log_std, np.mean(advantage * (standard**2 - 1), 0), rtol=1e-4, atol=1e-6
    )


def test_the_trap_a_reparameterised_latent_has_no_gradient_on_the_mean():
    _, batch = sampled()

    def trapped(latent: Gaussian):
        z = distributions.sample(latent, batch.trajectory.latent_noise)
        return jnp.mean(distributions.log_prob(latent, z) * batch.episode_advantage)

    np.testing.assert_allclose(jax.grad(trapped)(LATENT).mean, 0.0, atol=1e-6)
    assert np.all(np.abs(jax.grad(latent_objective)(LATENT, batch).mean) > 1e-3)


def test_inner_step_moves_what_it_is_told_to_by_alpha_times_the_gradient():
    params, batch = sampled()
    latent_gradient = jax.grad(latent_objective)(params.latent, batch)
    theta_gradient = jax.grad(lambda p: policy_objective(POLICY, p, batch))(params.policy)
    latent = jax.tree.map(
        lambda x, a, g: x + a * g, params.latent, STEP_SIZES.latent, latent_gradient
    )
    theta = jax.tree.map(lambda x, g: x + 0.1 * g, params.policy, theta_gradient)
    expected = {
        "latents": TaskParams(latent, params.policy),
        "params": TaskParams(params.latent, theta),
        "both": TaskParams(latent, theta),
    }
    for adapt, want in expected.items():
        config = dataclasses.replace(CONFIG, adapt=adapt)
        got = inner_step(POLICY, config, params, STEP_SIZES, batch)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), got, want)


def test_policy_gradient_matches_the_closed_form_of_the_output_bias():
    params, batch = sampled()
    gradient = jax.grad(lambda p: policy_objective(POLICY, p, batch))(params.policy)
    dist, action = batch.trajectory.action_dist, batch.trajectory.action
    score = (action - dist.mean) / jnp.exp(2 * dist.log_std)  # d log N / d mean
    expected = jnp.mean(score * batch.advantage[..., None], axis=(0, 1))
    np.testing.assert_allclose(
        gradient["params"]["Dense_1"]["bias"], expected, rtol=1e-3, atol=1e-6
    )


def test_equal_returns_leave_everything_where_it_is():
    """Sparse reward, nobody reaches the goal: all returns are equal and nothing is learned."""
    params, batch = sampled(env=Point(reward="sparse"))
    trajectory = batch.trajectory._replace(reward=jnp.full((6, 20), -4.4))
    batch = make_batch(trajectory, 0.99, 1.0)
    moved = inner_step(POLICY, CONFIG, params, STEP_SIZES, batch)
    jax.tree.map(np.testing.assert_array_equal, moved, params)


def test_what_a_latent_is_credited_with_does_not_depend_on_gae_lambda():
    """It is the whole episode's, whatever lambda does to the advantages of single actions."""
    _, batch = sampled()
    other = make_batch(batch.trajectory, 0.99, 0.5)
    np.testing.assert_array_equal(other.episode_advantage, batch.episode_advantage)
    assert np.max(np.abs(other.advantage - batch.advantage)) > 0.1
    total = (batch.trajectory.reward * 0.99 ** np.arange(20)).sum(axis=-1)
    expected = (total - total.mean()) / total.std()
    np.testing.assert_allclose(batch.episode_advantage, expected, atol=1e-3)


def test_advantages_are_standardised():
    _, batch = sampled()
    for advantage in (batch.advantage, batch.episode_advantage):
        np.testing.assert_allclose(jnp.mean(advantage), 0.0, atol=1e-5)
        np.testing.assert_allclose(jnp.std(advantage), 1.0, rtol=1e-3)


@pytest.mark.parametrize(
    "adapt",
    [
        pytest.param("latents", marks=pytest.mark.slow),
        pytest.param("params", marks=pytest.mark.slow),
        "both",
    ],
)
def test_unroll_over_tasks_equals_a_loop_over_them(adapt):
    config = dataclasses.replace(CONFIG, adapt=adapt)
    params, _ = sampled()
    tasks = ENV.sample_tasks(jax.random.key(7), 3)
    keys = jax.random.split(jax.random.key(8), 3)
    step_sizes = jax.tree.map(lambda a: jnp.stack([a, a / 2]), STEP_SIZES)

    @jax.jit
    def run(tasks, keys):
        latents = jax.tree.map(lambda x: jnp.tile(x, (len(keys), 1)), LATENT)
        start = params._replace(latent=latents)
        return unroll(ENV, POLICY, config, start, step_sizes, tasks, keys, lambda batch: batch)

    together = run(tasks, keys)
    for i in range(3):
        one = slice(i, i + 1)
        alone = run(jax.tree.map(lambda x, one=one: x[one], tasks), keys[one])
        same = jax.tree.map(lambda x, one=one: x[:, one], together)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-2, atol=2e-2), same, alone
        )


def test_unroll_improves_the_point_robot():
    """A policy that walks along z finds the goal when the latents climb the dense reward."""
    config = dataclasses.replace(CONFIG, num_episodes=40)
    policy = POLICY._replace(
        apply=lambda _, obs, z: Gaussian(z, jnp.full_like(z, -2.0))  # theta is not needed
    )
    tasks = ENV.sample_tasks(jax.random.key(0), 8)
    params = TaskParams(Gaussian(jnp.zeros((8, 2)), jnp.zeros((8, 2))), ())

    def mean_return(batch: Batch):
        return jnp.mean(jnp.sum(batch.trajectory.reward, axis=-1))

    ones = StepSizes(Gaussian(jnp.ones((6, 2)), jnp.ones((6, 2))), jnp.zeros(6))
    keys = jax.random.split(jax.random.key(1), 8)
    score = unroll(ENV, policy, config, params, ones, tasks, keys, mean_return)
    before, after = jnp.mean(score[0]), jnp.mean(score[-1])
    assert after > before + 3.0


def test_per_task_gives_theta_the_axis_that_task_axes_promises():
    params, _ = sampled()
    for adapt in ("latents", "params", "both"):
        shared = task_axes(adapt).policy is None
        leaf = jax.tree.leaves(per_task(adapt, params, 5).policy)[0]
        original = jax.tree.leaves(params.policy)[0]
        assert leaf.shape == (original.shape if shared else (5, *original.shape))


@pytest.mark.parametrize("estimator", SURROGATES)
def test_every_surrogate_takes_the_same_inner_step(estimator):
    """They differ in what the meta-gradient sees of it."""
    params, batch = sampled()
    steps = [
        inner_step(
            POLICY,
            dataclasses.replace(CONFIG, adapt="both", estimator=e),
            params,
            STEP_SIZES,
            batch,
        )
        for e in ("loglik", estimator)
    ]
    assert_close(*steps, rtol=1e-4, atol=1e-6)


def test_first_order_takes_the_step_for_a_constant():
    params, batch = sampled()
    config = dataclasses.replace(CONFIG, adapt="both", estimator="first_order")

    def moved(params):
        stepped = inner_step(POLICY, config, params, STEP_SIZES, batch)
        return sum(jnp.sum(x) for x in jax.tree.leaves(stepped))

    jax.tree.map(lambda g: np.testing.assert_array_equal(g, 1.0), jax.grad(moved)(params))


def test_what_comes_after_an_episodes_end_does_not_count():
    """All episodes end with step 12: the batch is that of episodes of 12 steps."""
    _, whole = sampled()
    trajectory = whole.trajectory
    alive = jnp.where(jnp.arange(20) < 12, jnp.ones((6, 20)), 0.0)
    ended = trajectory._replace(alive=alive, reward=trajectory.reward * alive)
    shorter = trajectory._replace(
        **{k: getattr(trajectory, k)[:, :12] for k in ("obs", "reward", "alive")}
    )
    batch, expected = make_batch(ended, 0.99, 0.95), make_batch(shorter, 0.99, 0.95)
    np.testing.assert_array_equal(batch.advantage[:, 12:], 0.0)
    np.testing.assert_allclose(batch.advantage[:, :12], expected.advantage, atol=1e-3)
    np.testing.assert_allclose(batch.episode_advantage, expected.episode_advantage, atol=1e-3)
