"""The full meta-gradient against finite differences in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from explorax import distributions, meta_update
from explorax.adapt import Batch
from explorax.config import MetaConfig, PPOConfig, ProMPConfig, TRPOConfig
from explorax.nets import gaussian_mlp_policy
from explorax.optimizers import adapted_kl_coef, init_outer, outer_step
from explorax.outer import (
    MetaParams,
    act_again,
    adapt_again,
    frozen_step_sizes,
    make_objective,
    sampling_credit,
    sampling_surrogate,
    task_loss,
)
from explorax.rollout import TaskParams
from explorax.trust_region import curvature_product
from explorax_envs.point import Point

BASE = MetaConfig(
    num_train_tasks=3,
    meta_batch_size=2,
    num_episodes=4,
    hidden_sizes=(5,),
    init_latent_std=0.7,
    inner_lr_mean=0.8,
)
TASK_INDEX = jnp.array([2, 0])
NO_CREDIT = jnp.zeros(())


def alone(tree):
    """The mean over one device."""
    return tree


def problem(config: MetaConfig, shift: float):
    """The mean loss of recorded episodes, at parameters ``shift`` away from the sampling ones."""
    env = Point()
    policy = gaussian_mlp_policy(
        2, 2, config.latent_dim, config.hidden_sizes, config.init_action_std
    )
    state = meta_update.init_state(env, policy, config, jax.random.key(3))
    keys = jax.random.split(jax.random.key(4), 2)
    batch = jax.jit(
        lambda s: meta_update.sample_stages(
            env, policy, config, s.params, TASK_INDEX, s.tasks, keys
        )
    )(state)
    flat, unravel = ravel_pytree(state.params)
    moved = unravel(flat + shift * jax.random.normal(jax.random.key(5), flat.shape))
    return policy, moved, batch


@pytest.mark.parametrize("optimizer", ["ppo", "trpo"])
@pytest.mark.parametrize(
    ("adapt", "latent_dim", "num_inner_steps", "estimator"),
    [
        ("latents", 2, 1, "loglik"),
        ("latents", 2, 0, "loglik"),
        *(pytest.param("params", 0, n, "loglik", marks=pytest.mark.slow) for n in (1, 3)),
        ("both", 2, 2, "emaml"),
    ],
)
def test_meta_gradient_matches_finite_differences(
    optimizer, adapt, latent_dim, num_inner_steps, estimator
):
    """What lvc and dice hold constant, finite differences would not: see test_estimators."""
    config = dataclasses.replace(
        BASE,
        optimizer=optimizer,
        adapt=adapt,
        estimator=estimator,
        latent_dim=latent_dim,
        num_inner_steps=num_inner_steps,
        ppo=PPOConfig(entropy_coef=0.01),
    )
    policy, meta, batch = problem(config, shift=0.02)
    single = jax.device_get((meta, batch))
    with jax.enable_x64(True):
        meta, batch = jax.tree.map(
            lambda x: jnp.asarray(x, jnp.float64 if x.dtype == np.float32 else x.dtype), single
        )
        flat, unravel = ravel_pytree(meta)

        def loss(x):
            return make_objective(policy, config, TASK_INDEX, batch, alone).loss(unravel(x)).loss

        gradient = np.asarray(jax.jit(jax.grad(loss))(flat))
        assert gradient.dtype == np.float64
        step = 1e-7  # a larger one may cross the kink of a ReLU
        at = jax.jit(jax.vmap(loss))
        shifts = step * jnp.eye(len(flat))
        numeric = np.asarray((at(flat + shifts) - at(flat - shifts)) / (2 * step))
    # emaml's loss is a sum over episodes: larger, and so is what rounding leaves of a difference
    atol = 1e-7 if estimator == "emaml" else 1e-8
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=atol)
    assert np.count_nonzero(np.abs(gradient) > 1e-6) > len(flat) // 3


@pytest.mark.parametrize(
    ("adapt", "latent_dim", "num_inner_steps", "estimator"),
    [("latents", 2, 1, "loglik"), ("params", 0, 2, "dice"), ("both", 2, 1, "loglik")],
)
def test_curvature_is_the_hessian_of_the_kl_after_adaptation(
    adapt, latent_dim, num_inner_steps, estimator
):
    config = dataclasses.replace(
        BASE,
        optimizer="trpo",
        adapt=adapt,
        latent_dim=latent_dim,
        num_inner_steps=num_inner_steps,
        estimator=estimator,
        trpo=TRPOConfig(curvature_stride=1),
    )
    policy, meta, batch = problem(config, shift=0.0)
    flat, unravel = ravel_pytree(meta)
    with jax.default_matmul_precision("highest"):
        objective = make_objective(policy, config, TASK_INDEX, batch, alone)
        hessian = jax.jit(jax.hessian(lambda x: objective.loss(unravel(x)).kl_policy))(flat)
        product = curvature_product(objective.act, objective.kl, meta, alone)
        rows = jax.jit(jax.vmap(lambda v: ravel_pytree(product(unravel(v)))[0]))(jnp.eye(len(flat)))
    assert np.max(np.abs(hessian)) > 0.1
    np.testing.assert_allclose(rows, hessian, atol=1e-4 * np.max(np.abs(hessian)))


def test_the_curvature_of_every_other_step_is_theirs():
    """Episodes that have ended count to their end."""
    config = dataclasses.replace(BASE, optimizer="trpo", trpo=TRPOConfig(curvature_stride=2))
    policy, meta, batch = problem(config, shift=0.1)
    alive = batch.trajectory.alive.at[:, :, 1, 7:].set(0.0).at[:, 1, 2, 3:].set(0.0)
    batch = batch._replace(trajectory=batch.trajectory._replace(alive=alive))
    objective = make_objective(policy, config, TASK_INDEX, batch, alone)
    every = dataclasses.replace(config, trpo=TRPOConfig(curvature_stride=1))
    whole = make_objective(policy, every, TASK_INDEX, batch, alone)
    dist = objective.act(meta)
    np.testing.assert_allclose(dist.mean, whole.act(meta).mean[:, :, ::2], rtol=1e-5)
    sampling, counts = jax.tree.map(
        lambda x: x[-1, :, :, ::2], (batch.trajectory.action_dist, alive)
    )
    of_tasks = jnp.average(distributions.kl(sampling, dist), axis=(1, 2), weights=counts)
    np.testing.assert_allclose(objective.kl(dist), np.mean(of_tasks), rtol=1e-5)
    np.testing.assert_allclose(whole.kl(whole.act(meta)), whole.loss(meta).kl_policy, rtol=1e-5)


def gradient_at_sampling(config: MetaConfig) -> MetaParams:
    policy, meta, batch = problem(config, shift=0.0)
    objective = make_objective(policy, config, TASK_INDEX, batch, alone)
    return jax.grad(lambda m: objective.loss(m).loss)(meta)


def test_the_gradient_reaches_latents_and_step_sizes_through_z():
    gradient = gradient_at_sampling(dataclasses.replace(BASE, kl_coef=0.0))
    for leaf in (*gradient.latent, *gradient.step_sizes.latent):
        assert np.all(np.isfinite(leaf)) and np.max(np.abs(leaf)) > 1e-4
    np.testing.assert_array_equal(gradient.latent.mean[1], 0.0)  # a task that was not drawn


def test_step_sizes_stay_where_they_are_not_to_be_learned():
    gradient = gradient_at_sampling(dataclasses.replace(BASE, learn_inner_lr=False))
    jax.tree.map(lambda g: np.testing.assert_array_equal(g, 0.0), gradient.step_sizes)
    stopped = frozen_step_sizes(BASE, gradient.step_sizes)
    assert stopped is gradient.step_sizes


def test_at_the_sampling_parameters_the_ratio_is_one_and_the_kl_zero():
    policy, meta, batch = problem(BASE, shift=0.0)
    task_batch = jax.tree.map(lambda x: x[:, 0], batch)
    terms = task_loss(policy, BASE, meta, TASK_INDEX[0], task_batch, NO_CREDIT)
    np.testing.assert_allclose(terms.kl_policy, 0.0, atol=1e-5)
    # standardised advantages have mean 0, so only the KL term is left
    np.testing.assert_allclose(terms.loss, BASE.kl_coef * terms.kl_latent, atol=1e-4)
    assert terms.clip_fraction == 0.0


def test_the_clip_holds_back_what_went_too_far():
    policy, meta, batch = problem(BASE, shift=0.5)
    task_batch: Batch = jax.tree.map(lambda x: x[:, 0], batch)
    clipped = task_loss(policy, BASE, meta, TASK_INDEX[0], task_batch, NO_CREDIT)
    free = task_loss(
        policy,
        dataclasses.replace(BASE, optimizer="trpo"),
        meta,
        TASK_INDEX[0],
        task_batch,
        NO_CREDIT,
    )
    assert clipped.clip_fraction > 0.1
    assert clipped.loss > free.loss


@pytest.mark.parametrize(("std", "weight"), [(0.5, 0.1), (2.9, 0.1), (3.1, 0.0)])
def test_the_entropy_bonus_ends_at_its_largest_deviation(std, weight):
    """One unit of a log-deviation is worth the coefficient below the limit and nothing above."""
    config = dataclasses.replace(BASE, init_action_std=std)
    policy, meta, batch = problem(config, shift=0.0)

    def log_std_gradient(entropy_coef):
        ppo = PPOConfig(entropy_coef=entropy_coef, entropy_max_std=3.0)
        varied = dataclasses.replace(config, ppo=ppo)
        loss = make_objective(policy, varied, TASK_INDEX, batch, alone).loss
        return jax.grad(lambda m: loss(m).loss)(meta).policy["params"]["log_std"]

    bonus = log_std_gradient(0.0) - log_std_gradient(0.1)
    np.testing.assert_allclose(bonus, weight, atol=1e-6)


def test_emamls_credit_is_the_return_beyond_that_of_the_other_tasks():
    _, _, batch = problem(dataclasses.replace(BASE, estimator="emaml"), shift=0.0)
    credit = sampling_credit(BASE, batch, alone)
    discounts = 0.99 ** np.arange(20)
    returns = (batch.trajectory.reward[-1] * discounts).sum(axis=-1).mean(axis=-1)
    np.testing.assert_allclose(credit, (returns - returns[::-1]) * batch.inverse_std[-1], rtol=1e-4)


def before_adaptation(config: MetaConfig):
    """The policy, the sampling parameters of the first task that was drawn and its first stage."""
    policy, meta, batch = problem(config, shift=0.0)
    params = TaskParams(jax.tree.map(lambda x: x[TASK_INDEX[0]], meta.latent), meta.policy)
    return policy, params, jax.tree.map(lambda x: x[0, 0], batch)


def test_emamls_gradient_is_credit_times_score():
    """Where the ratio is 1: sum_k d log N(z_k; mu, sigma) / T for each latent that was drawn."""
    config = dataclasses.replace(BASE, estimator="emaml")
    policy, params, one = before_adaptation(config)
    gradient = jax.grad(
        lambda latent: sampling_surrogate(
            policy, config, params._replace(latent=latent), one, jnp.float32(3.0)
        )
    )(params.latent)
    score = one.trajectory.latent_noise * np.exp(-params.latent.log_std)
    np.testing.assert_allclose(gradient.mean, 3.0 * score.sum(axis=0) / 20, rtol=1e-4)


def test_emamls_credit_reaches_theta_where_latents_adapt():
    """Actions were drawn, too: sum_kt d log pi(a_kt) / T of theta, by the log-deviation's score."""
    config = dataclasses.replace(BASE, estimator="emaml", adapt="latents")
    policy, params, one = before_adaptation(config)
    credit = lambda theta: sampling_surrogate(  # noqa: E731
        policy, config, params._replace(policy=theta), one, jnp.float32(3.0)
    )
    gradient = jax.grad(credit)(params.policy)["params"]["log_std"]
    dist = one.trajectory.action_dist
    noise = (one.trajectory.action - dist.mean) / np.exp(dist.log_std)
    np.testing.assert_allclose(gradient, 3.0 * (noise**2 - 1).sum(axis=(0, 1)) / 20, rtol=1e-3)


PROMP = dataclasses.replace(BASE, optimizer="promp", promp=ProMPConfig(init_kl_coef=0.1))


def test_promp_penalises_what_changes_before_adaptation():
    """The mean over the stages before the last one, whose KL is another."""
    config = dataclasses.replace(PROMP, num_inner_steps=2)
    policy, meta, batch = problem(config, shift=0.5)
    terms = make_objective(policy, config, TASK_INDEX, batch, alone).loss(meta)
    kls = []
    for task, i in enumerate(TASK_INDEX):
        of_task = jax.tree.map(lambda x, n=task: x[:, n], batch)
        for stage, params in enumerate(adapt_again(policy, config, meta, i, of_task)[:-1]):
            episodes = jax.tree.map(lambda x, s=stage: x[s], of_task.trajectory)
            dist = act_again(policy, params, episodes)
            kls.append(np.mean(distributions.kl(episodes.action_dist, dist)))
    np.testing.assert_allclose(terms.kl_pre, np.mean(kls), rtol=1e-5)
    assert abs(terms.kl_pre - terms.kl_policy) > 0.1 * terms.kl_pre > 0


def promps_step(shift, kl_coef):
    """The optimiser's state and metrics after an outer step that begins with this weight."""
    policy, meta, batch = problem(PROMP, shift)
    state = init_outer(PROMP, meta)._replace(kl_coef=jnp.float32(kl_coef))
    return outer_step(policy, PROMP, meta, state, TASK_INDEX, batch, alone)[1:]


def test_promps_penalty_holds_its_step_back():
    (_, free), (_, held) = (promps_step(0.5, kl_coef) for kl_coef in (0.0, 1e3))
    assert held["kl_pre"] < 0.9 * free["kl_pre"]


@pytest.mark.parametrize(("shift", "now", "then"), [(0.5, 0.1, 0.2), (0, 0.4, 0.2), (0, 0.1, 0.1)])
def test_promps_next_step_has_the_weight_that_the_kl_asks_for(shift, now, then):
    state, metrics = promps_step(shift, now)
    np.testing.assert_allclose((metrics["kl_coef"], state.kl_coef), (now, then), rtol=1e-6)


@pytest.mark.parametrize(("kl", "factor"), [(0.006, 0.5), (0.007, 1.0), (0.014, 1.0), (0.016, 2.0)])
def test_promps_weight_follows_the_kl(kl, factor):
    config = ProMPConfig(init_kl_coef=0.02, target_kl=0.01)
    adapted = adapted_kl_coef(jnp.float32(0.1), kl, config)
    np.testing.assert_allclose(adapted, 0.1 * factor, rtol=1e-6)


def test_promps_weight_does_not_fade_away():
    """It once was 0 after 150 meta-iterations of small KLs, for good."""
    weight, config = jnp.float32(0.02), ProMPConfig(init_kl_coef=0.02)
    for _ in range(200):
        weight = adapted_kl_coef(weight, jnp.float32(0.001), config)
    np.testing.assert_allclose(adapted_kl_coef(weight, jnp.float32(1.0), config), 0.04, rtol=1e-6)
