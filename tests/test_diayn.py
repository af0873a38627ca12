"""Skills: what they earn, what is stored of them, and that they are learned."""

import dataclasses
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from compilations import host_operations
from explorax import parallel
from explorax.algos import diayn
from explorax.config import SkillConfig
from explorax.replay import remember
from explorax.skills import categorical, gaussian
from explorax.types import Trajectory
from explorax_envs.point import Point
from skill_presets import SKILL_PRESETS
from trees import shaken

POSITION = (0, 1)
CONFIG = SkillConfig(
    num_skills=4,
    num_train_tasks=5,
    num_episodes=6,
    num_gradient_steps=3,
    batch_size=8,
    replay_size=500,
    hidden_sizes=(16,),
)


def parts_of(config=CONFIG, env=None):
    return diayn._parts(env or Point(), POSITION, config)


def params_of(parts, seed=0):
    return diayn.init_state(parts, jax.random.key(seed)).params


@pytest.mark.parametrize("space", ["categorical", "gaussian"])
def test_an_untrained_discriminator_pays_nothing(space):
    parts = parts_of(dataclasses.replace(CONFIG, skill_space=space))
    params = params_of(parts)
    keys = jax.random.split(jax.random.key(0), 20)
    code = jax.vmap(lambda key: parts.skills.sample(key, params.prior))(keys)
    seen = jax.random.normal(jax.random.key(2), (20, 2))
    np.testing.assert_allclose(diayn.intrinsic_reward(parts, params, seen, code), 0.0, atol=1e-6)
    trained = params._replace(discriminator=shaken(params.discriminator))
    reward = diayn.intrinsic_reward(parts, trained, seen, code)
    assert np.ptp(reward) > 0.1
    if space == "categorical":
        assert reward.max() <= np.log(CONFIG.num_skills)


def test_log_posteriors_by_hand():
    logits = np.array([[1.0, 2.0, -1.0], [0.0, 0.5, 3.0]], np.float32)
    got = categorical(3).log_posterior(jnp.array(logits), jnp.array([[1.0], [2.0]]))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(got, np.log([softmax[0, 1], softmax[1, 2]]), rtol=1e-5)
    np.testing.assert_array_equal(categorical(3).embed(jnp.array([2.0])), [0, 0, 1])
    outputs = jnp.array([0.5, -1.0, np.log(2.0), 9.0])  # means, log-stds; the last is clipped to 2
    got = gaussian(2).log_posterior(outputs, jnp.array([1.5, 0.0]))
    standard = np.array([1.0 / 2.0, 1.0 / np.exp(2.0)])
    expected = -0.5 * (standard**2).sum() - np.log(2.0) - 2.0 - np.log(2 * np.pi)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_skill_stays_the_same_within_its_episode_and_tanh_bounds_its_actions():
    parts = parts_of()
    params = params_of(parts)
    tasks = Point().sample_tasks(jax.random.key(0), 4)
    z, keys = jnp.eye(4), jax.random.split(jax.random.key(1), 4)
    trajectory = jax.jit(partial(diayn.unroll, parts))(params, tasks, z, keys)
    np.testing.assert_array_equal(trajectory.latent, z)
    again = parts.sac.policy.apply(
        params.sac.policy, trajectory.obs, jnp.repeat(z[:, None], Point.horizon, axis=1)
    )
    np.testing.assert_allclose(again.mean, trajectory.action_dist.mean, atol=1e-6)
    np.testing.assert_allclose(again.log_std, trajectory.action_dist.log_std, atol=1e-6)
    # The environment was given, and the buffer holds, the tanh of what the policy sampled.
    experience = remember(
        parts.config.objective, parts.features, trajectory, jnp.arange(4.0)[:, None]
    )
    moved = jax.vmap(Point().step)(
        jax.vmap(Point().unpack)(
            experience.obs, jax.tree.map(lambda x: x[np.zeros(76, int)], tasks)
        ),
        experience.action,
    )
    np.testing.assert_allclose(moved.obs, experience.next_obs, atol=1e-6)
    assert jnp.abs(experience.action).max() < 1.0


def episode(alive):
    """One made-up episode whose observations count its steps."""
    steps = len(alive)
    obs = jnp.stack([jnp.arange(steps), -jnp.arange(steps)], axis=-1).astype(float)
    fields = dict.fromkeys(Trajectory._fields) | {
        "obs": obs, "action": 0.1 * obs, "alive": jnp.array(alive, float)
    }  # fmt: skip
    return jax.tree.map(lambda x: x[None], Trajectory(**fields))


@pytest.mark.parametrize(
    ("objective", "alive", "expected"),
    [
        ("diayn", [1, 1, 1, 1], {"pays": [1, 1, 1], "discount": [1, 1, 1], "seen": [1, 2, 3]}),
        ("vic", [1, 1, 1, 1], {"pays": [0, 0, 1], "discount": [1, 1, 0], "seen": [3, 3, 3]}),
        # The second step ends the episode: critics and q learn nothing of what comes after.
        ("diayn", [1, 1, 0, 0], {"pays": [1, 1, 0], "discount": [1, 0, 0], "alive": [1, 1, 0]}),
        ("vic", [1, 1, 0, 0], {"pays": [0, 1, 0], "discount": [1, 0, 0], "alive": [1, 1, 0]}),
    ],
)
def test_what_is_stored_of_an_episode(objective, alive, expected):
    parts = parts_of(dataclasses.replace(CONFIG, objective=objective))
    got = remember(parts.config.objective, parts.features, episode(alive), jnp.array([[2.0]]))
    np.testing.assert_array_equal(got.obs[:, 0], [0, 1, 2])
    np.testing.assert_array_equal(got.next_obs[:, 0], [1, 2, 3])
    np.testing.assert_array_equal(got.code, [[2.0]] * 3)
    np.testing.assert_allclose(got.action, jnp.tanh(0.1 * got.obs))
    for name, values in expected.items():
        found = getattr(got, name)
        np.testing.assert_array_equal(found[:, 0] if name == "seen" else found, values)


def on_one_device(fun, *args):
    """``fun`` where means over devices can be taken."""
    mesh = parallel.task_mesh(1, 1)
    return jax.jit(parallel.over_tasks(fun, mesh, (False,) * len(args), out_tasks=False))(*args)


def test_vic_prior_follows_the_exact_policy_gradient():
    """Of E_p[R(z)] with respect to the logits: p(z) (R(z) - E_p[R])."""
    parts = parts_of(dataclasses.replace(CONFIG, objective="vic"))
    sgd = optax.sgd(1.0)
    parts = parts._replace(prior_optimizer=sgd)
    logits = jnp.array([0.3, -0.5, 0.1, 0.0])
    reward_of = jnp.array([1.0, 0.0, -2.0, 0.5])
    state = diayn.init_state(parts, jax.random.key(0))
    state = state._replace(params=state.params._replace(prior=logits), prior_adam=sgd.init(logits))
    code = jax.random.categorical(jax.random.key(3), logits, shape=(200_000,))
    moved, _ = on_one_device(
        partial(diayn.prior_step, parts), state, reward_of[code], code[:, None].astype(float)
    )
    p = jax.nn.softmax(logits)
    np.testing.assert_allclose(moved - logits, p * (reward_of - p @ reward_of), atol=5e-3)


def test_the_discriminator_climbs_the_likelihood():
    """Its first step: softmax - one-hot is the gradient of the output's bias."""
    sgd = optax.sgd(1.0)
    parts = parts_of()._replace(optimizer=sgd)
    params = params_of(parts)
    batch = remember(
        parts.config.objective, parts.features, episode([1, 1, 1, 0]), jnp.array([[2.0]])
    )
    moved, _, metrics = on_one_device(
        partial(diayn.gradient_step, parts),
        params,
        sgd.init(params.discriminator),
        batch,
        jax.random.key(0),
    )
    before, after = (p.discriminator["params"]["Dense_1"]["bias"] for p in (params, moved))
    np.testing.assert_allclose(after - before, [-0.25, -0.25, 0.75, -0.25], atol=1e-6)
    np.testing.assert_allclose(metrics["discriminator_loss"], np.log(4), rtol=1e-6)


def run(config, num_devices, num_updates, env=None):
    """A compiled program of so many updates, and what it makes of a first state."""
    mesh = parallel.task_mesh(config.num_episodes, num_devices)
    learner = diayn.build(env or Point(), POSITION, config, mesh)
    state = parallel.replicate(jax.jit(learner.init)(jax.random.key(0)), mesh)
    program = jax.jit(lambda s: jax.lax.scan(lambda s, _: learner.update(s), s, length=num_updates))
    lowered = program.lower(state)
    assert not host_operations(lowered)
    compiled = lowered.compile()
    with jax.transfer_guard("disallow"):
        return compiled, *compiled(state)


def test_devices_learn_the_same():
    """Of vic, until the replay buffer is full."""
    config = dataclasses.replace(CONFIG, objective="vic")
    compiled, state, metrics = run(config, 2, 5)
    assert state.replay.insert_position == CONFIG.replay_size < 5 * 6 * 19
    for leaf in jax.tree.leaves(state._replace(key=None, replay=state.replay.data)):
        one, other = (np.asarray(shard.data) for shard in leaf.addressable_shards)
        np.testing.assert_array_equal(one, other)
    assert metrics["finite"].all()
    np.testing.assert_array_equal(metrics["intrinsic_reward"], metrics["intrinsic_reward_last"])
    assert np.ptp(state.params.prior) > 0.0
    assert compiled(state)[0].iteration == 10  # what comes out goes in again, as it is


@pytest.mark.slow
def test_ten_skills_on_the_point_robot():
    """The preset: within two minutes an accuracy of .8 on new episodes, where chance is .1.

    The minutes are the process's own, of all its threads: a machine may be busy with other things.
    """
    preset = SKILL_PRESETS["point-diayn"]
    assert Point.features[preset.skills.features] == POSITION
    start = time.process_time()
    _, _, metrics = run(preset.skills, 2, preset.train.num_iterations)
    jax.block_until_ready(metrics)
    assert time.process_time() - start < 120
    assert metrics["intrinsic_reward"][0] == pytest.approx(0.0, abs=1e-5)
    assert metrics["accuracy"][-1] >= 0.8
    assert 8 < metrics["distinct_skills"][-1] <= 10
    np.testing.assert_allclose(metrics["effective_skills"], 10.0, rtol=1e-5)
    assert metrics["finite"].all()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_skills", 1, r"skills\.num_skills: must be in"),
        ("discount", 1.0, r"skills\.discount"),
        ("batch_size", 0, r"skills\.batch_size"),
        ("hidden_sizes", (), r"skills\.hidden_sizes"),
        ("entropy_coef", float("nan"), r"skills\.entropy_coef: must be finite"),
    ],
)
def test_refusals(field, value, message):
    with pytest.raises(ValueError, match=message):
        SkillConfig(**{field: value})


def test_more_refusals():
    with pytest.raises(ValueError, match=r"skills\.skill_space: must be 'categorical'"):
        SkillConfig(objective="vic", skill_space="gaussian")
    with pytest.raises(ValueError, match=r"skills\.replay_size: must hold an iteration's 114"):
        parts_of(dataclasses.replace(CONFIG, replay_size=113))
