"""Latents that are skills: what they are paid, when, and that nothing else of MAESN changes."""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compilations import compilations, host_operations
from explorax import intrinsic, meta_update, parallel
from explorax.adapt import make_batch
from explorax.algos import latent_diayn
from explorax.algos.maesn import maesn
from explorax.config import LatentSkillConfig, TRPOConfig
from explorax.nets import Discriminator, Policy
from explorax.rollout import TaskParams, rollout, task_axes
from explorax.trust_region import curvature_product
from explorax.types import Gaussian, Trajectory
from explorax.varied import over_seeds
from explorax_envs.point import Point
from trees import assert_close, bits, shaken

POSITION = (0, 1)
SMALL = {"num_train_tasks": 6, "meta_batch_size": 4, "num_episodes": 5, "hidden_sizes": (8,)}
MAESN = maesn(**SMALL, optimizer="ppo")
SKILLS = LatentSkillConfig(intrinsic_coef=0.5, hidden_sizes=(8,))
LEARNED = dataclasses.replace(SKILLS, schedule="learned")


def learner_and_state(skills=SKILLS, config=MAESN, max_devices=None, env=None):
    mesh = parallel.task_mesh(config.meta_batch_size, max_devices)
    learner = latent_diayn.build(env or Point(), POSITION, skills, config, mesh)
    return learner, parallel.replicate(jax.jit(learner.init)(jax.random.key(0)), mesh)


def trained(params):
    """As if the discriminator had learned something."""
    return params._replace(discriminator=shaken(params.discriminator, scale=0.3))


def reward_of(skills=SKILLS):
    return intrinsic.make_intrinsic(POSITION, skills, MAESN.latent_dim)


REWARD = reward_of(LEARNED)


@cache
def sampler():
    """A learner, its first state, and all stages of two tasks as a function of what is learned."""
    learner, state = learner_and_state(LEARNED, max_devices=1)
    index, keys = jnp.array([2, 0]), jax.random.split(jax.random.key(4), 2)

    @jax.jit
    def sample(params):
        return latent_diayn.sample(
            REWARD, Point(), learner.policy, MAESN, params, index, state.tasks, keys
        )

    return learner, state, sample


@cache
def sampled(knows=True):
    """Parameters, and all stages of two tasks sampled with them; both parts of advantages."""
    learner, state, sample = sampler()
    params = trained(state.params) if knows else state.params
    return learner.policy, params, sample(params)


def test_the_reward_by_hand():
    """Of q = N((x, -1), diag(1, 4)) for the state that a step reaches; the last reaches none."""
    obs = jnp.array([[[9.0, 9.0], [0.5, 0.0], [1.0, 0.0], [1.0, 0.0]]])
    fields = dict.fromkeys(Trajectory._fields) | {
        "obs": obs,
        "alive": jnp.array([[1.0, 1.0, 0.0, 0.0]]),
        "latent": jnp.array([[1.5, 1.0]]),
    }
    method = reward_of()._replace(
        discriminator=Discriminator(
            lambda _: (),
            lambda _, f: jnp.stack(
                [f[..., 0], 0 * f[..., 0] - 1, 0 * f[..., 0], 0 * f[..., 0] + jnp.log(2.0)], -1
            ),
        )
    )
    got = intrinsic.intrinsic_reward(method, (), Trajectory(**fields))
    log_p = -0.5 * (1.5**2 + 1.0**2)
    log_q = [-0.5 * ((1.5 - x) ** 2 + 1.0) - np.log(2.0) for x in (0.5, 1.0)]
    np.testing.assert_allclose(got, [[log_q[0] - log_p, log_q[1] - log_p, 0, 0]], rtol=1e-5)


def test_an_untrained_discriminator_pays_exactly_nothing():
    _, params, batch = sampled(knows=False)
    episodes = jax.tree.map(lambda x: x[0, 0], batch.trajectory)
    pay = jax.jit(partial(intrinsic.intrinsic_reward, REWARD))
    np.testing.assert_array_equal(pay(params.discriminator, episodes), 0.0)
    np.testing.assert_array_equal(batch.trajectory.reward, batch.trajectory.task_reward)


def test_what_is_learned_from_and_what_is_reported():
    """Before adaptation reward + beta * bonus, after it the reward; reports are the task's."""
    _, params, batch = sampled()
    pay = partial(intrinsic.intrinsic_reward, REWARD, params.discriminator)
    bonus = jax.vmap(jax.vmap(pay))(batch.trajectory)
    assert np.ptp(bonus) > 0.1
    weight = np.array([0.5, 0.0])[:, None, None, None]
    expected = batch.trajectory.task_reward + weight * bonus
    np.testing.assert_allclose(batch.trajectory.reward, expected, rtol=1e-5)
    make = lambda t: make_batch(t, MAESN.discount, MAESN.gae_lambda)  # noqa: E731
    make = jax.jit(jax.vmap(jax.vmap(make)))
    assert_close(batch._replace(parts=None), make(batch.trajectory), atol=2e-3)
    reported = meta_update.sampling_metrics(batch)["return_pre"]
    distance = jnp.linalg.norm(batch.trajectory.obs, axis=-1)
    assert distance.max() <= 2.0 and -60 < reported < 0  # of 20 steps, at most 3 away
    np.testing.assert_allclose(reported, batch.trajectory.task_reward[0].sum(-1).mean(), rtol=1e-5)


@cache
def unpaid(optimizer):
    """Learners of a weight of 0 and of plain MAESN, a program of four updates and a state each."""
    config = dataclasses.replace(MAESN, optimizer=optimizer)
    learner, state = learner_and_state(dataclasses.replace(SKILLS, intrinsic_coef=0.0), config)
    mesh = parallel.task_mesh(4)
    plain = meta_update.build(Point(), config, mesh)
    plain_state = parallel.replicate(jax.jit(plain.init)(jax.random.key(0)), mesh)
    several = lambda update: jax.jit(  # noqa: E731
        lambda s: jax.lax.scan(lambda s, _: update(s), s, length=4)
    )
    learners = (learner, several(learner.update), state)
    return learners, (plain, several(plain.update), plain_state)


@pytest.mark.parametrize(
    "optimizer",
    ["trpo", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ppo", "promp"))],
)
def test_without_a_weight_it_is_maesn_bit_for_bit(optimizer):
    """And one program, with its discriminator, which asks nothing of its host."""
    (_, several, state), (_, plain_several, plain_state) = unpaid(optimizer)
    got, metrics = several(state)
    want, plain_metrics = plain_several(plain_state)
    assert bits(latent_diayn.meta_params(got.params)) == bits(want.params)
    assert bits(got.outer.outer) == bits(want.outer)
    assert bits({name: metrics[name] for name in plain_metrics}) == bits(plain_metrics)
    changed = zip(bits(got.params.discriminator), bits(state.params.discriminator), strict=True)
    assert all(a != b for a, b in changed)
    with compilations() as again:
        jax.block_until_ready(several(got))
    assert not again
    assert not host_operations(several.lower(got))


def test_without_a_weight_it_adapts_as_maesn_bit_for_bit():
    """At meta-test, though its discriminator has learned something."""
    (learner, _, state), (plain, _, plain_state) = unpaid("trpo")
    env = Point()  # dense: there is something to learn
    keys = jax.random.split(jax.random.key(6), 3)
    tasks = env.sample_tasks(jax.random.key(5), 3)
    params = jax.device_get(trained(state.params))

    def test(learner, params):
        adapt = lambda p: learner.adapt(env, p, 2, 5, tasks, keys, lambda batch: batch)  # noqa: E731
        return jax.jit(adapt)(params)

    got, want = test(learner, params), test(plain, jax.device_get(plain_state.params))
    assert bits(latent_diayn.meta_params(params)) == bits(plain_state.params)
    assert bits(got) == bits(want)
    assert np.all(np.std(got.episode_advantage, axis=-1) > 0.5), "nothing was adapted"


def with_gain(config, policy, params, batch):
    """The outer objective, and what is learned with beta's logarithm so far above its start."""
    objective = latent_diayn.objective_with_gain(
        REWARD, policy, config, jnp.array([2, 0]), batch, lambda tree: tree
    )
    meta = latent_diayn.meta_params(params)
    return objective, lambda log_gain: latent_diayn.WithGain(meta, log_gain)


def loss_of_gain(config, policy, params, batch, log_gain):
    objective, learned = with_gain(config, policy, params, batch)
    return objective.loss(learned(log_gain)).loss


def curvature_of_gain(config, policy, params, batch, log_gain):
    """beta's own entry of what trpo takes for the curvature."""
    objective, learned = with_gain(config, policy, params, batch)
    at = learned(log_gain)
    product = curvature_product(objective.act, objective.kl, at, lambda tree: tree)
    zero = jax.tree.map(jnp.zeros_like, at)
    return product(zero._replace(log_gain=jnp.ones_like(log_gain))).log_gain


@pytest.mark.parametrize("adapt", ["latents", "both"])
def test_the_gradient_reaches_beta(adapt):
    """Against finite differences in float64."""
    config = dataclasses.replace(MAESN, adapt=adapt)
    policy, params, batch = sampled()
    single = jax.device_get((params, batch))
    with jax.enable_x64(True):
        params, batch = jax.tree.map(
            lambda x: jnp.asarray(x, jnp.float64 if x.dtype == np.float32 else x.dtype), single
        )
        loss = jax.jit(partial(loss_of_gain, config, policy, params, batch))
        at, step = jnp.float64(0.3), 1e-5
        gradient = jax.grad(loss)(at)
        numeric = (loss(at + step) - loss(at - step)) / (2 * step)
        gradient, numeric = float(gradient), float(numeric)
    assert abs(gradient) > 1e-4
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5)


def test_beta_may_change_though_nothing_differs():
    """Equal returns and an untrained discriminator: all derivatives of beta are 0, not NaN."""
    policy, params, batch = sampled(knows=False)
    parts = jax.tree.map(jnp.zeros_like, batch.parts)
    batch = batch._replace(
        parts=parts,
        inverse_std=0.0 * batch.inverse_std,
        advantage=0.0 * batch.advantage,
        episode_advantage=0.0 * batch.episode_advantage,
    )
    loss = jax.jit(partial(loss_of_gain, MAESN, policy, params, batch))
    assert jax.grad(loss)(0.1) == 0.0
    assert jax.jvp(jax.grad(loss), (0.1,), (1.0,))[1] == 0.0
    assert curvature_of_gain(MAESN, policy, params, batch, jnp.float32(0.1)) == 0.0


def test_the_curvature_reaches_beta():
    """Where the episodes were sampled it is the second derivative of the KL."""
    config = dataclasses.replace(MAESN, optimizer="trpo", trpo=TRPOConfig(curvature_stride=1))
    policy, params, batch = sampled()

    def kl(log_gain):
        objective, learned = with_gain(config, policy, params, batch)
        return objective.loss(learned(log_gain)).kl_policy

    second = jax.jit(jax.grad(jax.grad(kl)))(0.0)
    curvature = jax.jit(partial(curvature_of_gain, config, policy, params, batch))(jnp.zeros(()))
    assert second > 1e-5
    np.testing.assert_allclose(curvature, second, rtol=1e-3)


def test_a_batch_under_its_own_beta_is_the_recorded_one():
    _, _, batch = sampled()
    one = jax.tree.map(lambda x: x[0, 0], batch)
    assert_close(intrinsic.again_weighted(one, jnp.float32(0.5)), one, atol=1e-6)
    other = intrinsic.again_weighted(one, jnp.float32(5.0))
    assert jnp.abs(other.episode_advantage - one.episode_advantage).max() > 0.1
    post = jax.tree.map(lambda x: x[1, 0], batch)
    assert_close(intrinsic.again_weighted(post, jnp.float32(5.0)), post, atol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("constant", [0.5] * 5), ("annealed", [0.5, 0.375, 0.25, 0.125, 0.0])],
)
def test_schedules(schedule, expected):
    config = dataclasses.replace(SKILLS, schedule=schedule, anneal_iterations=4)
    at = lambda updates: intrinsic.coefficient(config, jnp.zeros(()), updates)  # noqa: E731
    np.testing.assert_array_equal(jax.vmap(at)(jnp.arange(5)), expected)
    assert at(jnp.array(9)) == expected[-1]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["ppo", "trpo", "promp"])
def test_beta_is_learned(optimizer):
    config = dataclasses.replace(MAESN, optimizer=optimizer)
    learner, state = learner_and_state(LEARNED, config)
    new, metrics = jax.jit(learner.update)(state._replace(params=trained(state.params)))
    assert metrics["finite"] == 1.0 and metrics["intrinsic_coef"] == 0.5
    assert new.params.log_gain != 0.0 and np.isfinite(new.params.log_gain)
    assert new.params.updates == new.iteration == 1


def test_the_discriminator_learns():
    """Theta walks along z and stays; phi alone learns, and on new episodes tells skills apart."""
    method = reward_of(LatentSkillConfig(hidden_sizes=(16,), learning_rate=0.01))
    walk = Policy(lambda _: (), lambda _, obs, z: Gaussian(z, jnp.full_like(z, -2.0)))
    acting = TaskParams(Gaussian(jnp.zeros((2, 2)), jnp.zeros((2, 2))), ())
    tasks = Point().sample_tasks(jax.random.key(0), 2)

    def step(carry, key):
        keys = jax.random.split(key, (2, 20))
        episodes = rollout(Point(), walk, acting, task_axes("latents"), tasks, keys)
        stages = jax.tree.map(lambda x: jnp.stack([x, jnp.nan * x]), episodes)
        *carry, metrics = intrinsic.discriminator_step(method, *carry, stages, lambda tree: tree)
        return tuple(carry), metrics

    phi = method.discriminator.init(jax.random.key(1))
    keys = jax.random.split(jax.random.key(2), 60)
    _, metrics = jax.jit(lambda c: jax.lax.scan(step, c, keys))((phi, method.optimizer.init(phi)))
    assert metrics["intrinsic_reward_pre"][0] == 0.0
    loss = metrics["discriminator_loss"]
    np.testing.assert_allclose(loss[0], np.log(2 * np.pi) + 1.0, atol=0.4)  # N(0, I)'s entropy
    assert np.mean(loss[-5:]) < loss[0] - 1.0
    assert np.mean(metrics["intrinsic_reward_pre"][-5:]) > 1.0


class Found(Point):
    """Every step succeeds where the goal lies to the right, and none where it lies to the left."""

    def step(self, state, action):
        after = super().step(state, action)
        success = (state.info["task"].goal[0] > 0).astype(jnp.float32)
        return after.replace(metrics={**after.metrics, "success": success})


def test_a_new_task_pays_until_something_is_found():
    """With the first weight, though that of meta-training has fallen to 0."""
    annealed = dataclasses.replace(SKILLS, schedule="annealed", anneal_iterations=1)
    learner, state = learner_and_state(annealed, max_devices=1, env=Found())
    params = trained(state.params)._replace(updates=np.int32(7))
    tasks = Found().sample_tasks(jax.random.key(5), 6)
    right = np.asarray(tasks.goal[:, 0] > 0)
    assert 0 < right.sum() < 6
    keys = jax.random.split(jax.random.key(6), 6)
    adapt = lambda p: learner.adapt(Found(), p, 2, 5, tasks, keys, lambda batch: batch)  # noqa: E731
    trajectory = jax.jit(adapt)(params).trajectory
    paid = np.any(trajectory.reward != trajectory.task_reward, axis=(2, 3))  # (S, N)
    np.testing.assert_array_equal(paid, np.broadcast_to(~right, (3, 6)))


def test_what_was_found_is_remembered():
    """Once one episode has succeeded the task alone pays, though later ones fail."""
    _, params, batch = sampled()
    episodes = jax.tree.map(lambda x: x[0, 0], batch.trajectory)
    episodes = episodes._replace(reward=episodes.task_reward)
    pay = partial(intrinsic.intrinsic_reward, REWARD, params.discriminator)
    appraisal = intrinsic.until_success(pay, MAESN, jnp.float32(0.5))
    appraise, memory, pays = jax.jit(appraisal.batch), appraisal.init, []
    for success in (0.0, 1.0, 0.0):
        none = jnp.zeros_like(episodes.success).at[1, 2].set(success)
        got, memory = appraise(memory, jnp.array(False), episodes._replace(success=none))
        pays.append(bool(jnp.any(got.trajectory.reward != got.trajectory.task_reward)))
    assert pays == [True, False, False]


@pytest.mark.slow
def test_seeds_side_by_side_on_two_devices_are_those_alone_on_one():
    learner, state, _ = sampler()
    alone = jax.jit(learner.update)(state)
    together = over_seeds(learner_and_state(LEARNED, max_devices=2)[0])
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    both = jax.jit(together.update)(jax.jit(together.init)(keys))
    assert len(both[0].iteration.devices()) == 2
    assert_close(jax.tree.map(lambda x: x[0], both), alone, rtol=2e-3, atol=2e-3)
    assert both[1]["intrinsic_reward_pre"].shape == (2,)


def test_no_key_is_used_twice():
    learner = sampler()[0]
    with jax.debug_key_reuse(True):
        jax.jit(learner.init)(jax.random.key(0))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("intrinsic_coef", -0.1, r"latent_skills\.intrinsic_coef: must not be negative"),
        ("intrinsic_coef", float("inf"), r"latent_skills\.intrinsic_coef: must be finite"),
        ("anneal_iterations", 0, r"latent_skills\.anneal_iterations"),
        ("learning_rate", 0.0, r"latent_skills\.learning_rate"),
        ("num_gradient_steps", 0, r"latent_skills\.num_gradient_steps"),
        ("hidden_sizes", (8, 0), r"latent_skills\.hidden_sizes"),
    ],
)
def test_refusals(field, value, message):
    with pytest.raises(ValueError, match=message):
        LatentSkillConfig(**{field: value})


def test_more_refusals():
    with pytest.raises(ValueError, match=r"latent_skills\.intrinsic_coef: must be positive when"):
        LatentSkillConfig(schedule="learned", intrinsic_coef=0.0)
    for skills, change, name in (
        (SKILLS, {"latent_dim": 0, "adapt": "params"}, "latent_dim"),
        (SKILLS, {"num_inner_steps": 0}, "num_inner_steps"),
        (SKILLS, {"test_optimizer": "ppo"}, "test_optimizer"),
        (LEARNED, {"estimator": "first_order"}, "estimator"),
    ):
        with pytest.raises(ValueError, match=rf"meta\.{name}: must not be|meta\.{name}: must be"):
            latent_diayn.check(skills, dataclasses.replace(MAESN, **change))
