"""The compiled meta-update: what it promises as a program."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compilations import compilations, host_operations
from explorax import meta_update, metatest, parallel
from explorax.adapt import StepSizes, latent_objective, make_batch
from explorax.algos.latent_space import latent_space
from explorax.algos.maesn import maesn
from explorax.algos.maml import maml
from explorax.algos.rl2 import rl2
from explorax.config import MetaConfig
from explorax.rollout import TaskParams, rollout, task_axes
from explorax.types import Gaussian
from explorax.varied import over_seeds
from explorax_envs.point import Point
from trees import assert_close, bits

SMALL = {
    "num_train_tasks": 6,
    "meta_batch_size": 4,
    "num_episodes": 5,
    "hidden_sizes": (8,),
}
BOTH = {"adapt": "both", "num_inner_steps": 2}
METHODS = {
    "maesn-ppo": maesn(**SMALL, optimizer="ppo"),
    "maesn-trpo": maesn(**SMALL),
    "latent-space": latent_space(**SMALL),
    "maml": maml(**SMALL),
    "both": maesn(**SMALL, optimizer="ppo", **BOTH),
    "promp": maml(**SMALL, optimizer="promp", estimator="lvc"),
    "maesn-promp": maesn(**SMALL, optimizer="promp", estimator="lvc"),
    "dice": maml(**SMALL, optimizer="trpo", estimator="dice"),
    "rl2": rl2(**SMALL, memory_size=8, num_inner_steps=2),
    "emaml": maesn(**SMALL, optimizer="ppo", **BOTH, estimator="emaml"),
}
ENV = Point()


def learner_and_state(config: MetaConfig, max_devices: int | None = None, seed: int = 0, env=ENV):
    mesh = parallel.task_mesh(config.meta_batch_size, max_devices)
    learner = meta_update.build(env, config, mesh)
    state = jax.jit(learner.init)(jax.random.key(seed))
    return learner, parallel.replicate(state, mesh)


@functools.cache
def compiled(name: str, max_devices: int | None):
    """A method's learner, and its update, which several tests look at."""
    learner, _ = learner_and_state(METHODS[name], max_devices)
    return learner, jax.jit(learner.update)


@functools.cache
def updated(name: str, max_devices: int | None = None, seed: int = 0):
    """A first state, and what one update makes of it."""
    _, update = compiled(name, max_devices)
    _, state = learner_and_state(METHODS[name], max_devices, seed)
    return state, *update(state)


SLOW = ("both", "dice", "maesn-promp")
"""Methods whose parts others have, too."""
every_method = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in METHODS]
)


@every_method
def test_every_method_updates_finitely_and_reports(name):
    (learner, _), (state, new, metrics) = compiled(name, None), updated(name)
    assert metrics["finite"] == 1.0
    assert new.iteration == 1
    for key in ("return_pre", "return_post", "success_pre", "success_post", "kl_policy"):
        assert np.isfinite(metrics[key]), key
    changed = [a != b for a, b in zip(bits(state), bits(new), strict=True)]
    assert sum(changed) >= 5
    assert learner.steps_per_update == 4 * 5 * 20 * (METHODS[name].num_inner_steps + 1)


@every_method
def test_every_method_is_one_program_that_asks_nothing_of_its_host(name):
    """What comes out goes in again, and nothing is compiled anew."""
    (_, update), (_, new, _) = compiled(name, None), updated(name)
    with compilations() as again:
        jax.block_until_ready(update(new))
    assert not again
    assert not host_operations(update.lower(new))


def test_latent_space_takes_no_inner_step():
    _, new, metrics = updated("latent-space")
    assert metrics["return_pre"] == metrics["return_post"]
    np.testing.assert_array_equal(new.params.step_sizes.latent.mean, 3.0)
    _, step_sizes = meta_update.meta_test_start(METHODS["latent-space"], new.params)
    np.testing.assert_array_equal(step_sizes.latent.mean, 1.0)


def test_same_seed_gives_bit_equal_states_and_another_seed_does_not():
    learner, _ = learner_and_state(METHODS["maesn-ppo"])
    update = jax.jit(lambda s: jax.lax.scan(lambda s, _: learner.update(s), s, length=3)[0])
    runs = [update(learner_and_state(METHODS["maesn-ppo"], seed=seed)[1]) for seed in (0, 0, 1)]
    assert bits(runs[0]) == bits(runs[1])
    assert not np.array_equal(runs[0].params.latent.mean, runs[2].params.latent.mean)


@pytest.mark.parametrize(
    ("name", "one_by_one"),
    [
        ("maesn-trpo", True),
        *(
            pytest.param(name, False, marks=pytest.mark.slow)
            for name in ("maesn-trpo", "maesn-ppo", "rl2")
        ),
    ],
)
def test_seeds_side_by_side_are_those_alone(name, one_by_one):
    """To rounding, on two devices; and no seed is another one."""
    learner, _ = compiled(name, None)
    together = over_seeds(learner, one_by_one)
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    states, metrics = jax.jit(together.update)(jax.jit(together.init)(keys))
    assert metrics["return_post"].shape == (2,)
    tolerance = 1e-2 if name == "maesn-trpo" else 2e-3  # conjugate gradient amplifies rounding
    for seed in range(2):
        _, *alone = updated(name, seed=seed)
        member = jax.tree.map(lambda x, i=seed: x[i], (states, metrics))
        assert_close(member, tuple(alone), rtol=tolerance, atol=tolerance)
    assert np.ptp(metrics["return_post"]) > 0.01


@pytest.mark.parametrize(
    "name",
    [
        "maesn-trpo",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("maesn-ppo", "promp", "emaml", "rl2")
        ),
    ],
)
def test_one_device_equals_two(name):
    (_, *one), (_, *two) = updated(name, max_devices=1), updated(name)
    for count, (state, _) in ((1, one), (2, two)):
        assert len(state.iteration.devices()) == count
    tolerance = 1e-2 if name == "maesn-trpo" else 2e-3  # conjugate gradient amplifies rounding
    assert_close(one, two, rtol=tolerance, atol=tolerance)


class ShortPoint(Point):
    """Five steps, since unjitted ones are slow."""

    horizon = 5


@pytest.mark.slow
def test_jitted_equals_unjitted(monkeypatch):
    """Unjitted, a unit axis of vmap is the mesh: shard_map would compile every operation."""
    config = dataclasses.replace(METHODS["maesn-ppo"], num_episodes=2, meta_batch_size=2)
    learner, state = learner_and_state(config, max_devices=1, env=ShortPoint())
    compiled = jax.jit(learner.update)(state)

    def over_unit_axis(fun, mesh, in_axes, out_tasks):
        def run(*args):
            expanded = jax.vmap(fun, in_axes=None, axis_size=1, axis_name=parallel.TASK_AXIS)
            return jax.tree.map(lambda x: x[0], expanded(*args))

        return run

    monkeypatch.setattr(meta_update, "over_tasks", over_unit_axis)
    with jax.disable_jit():
        plain = learner.update(jax.device_get(state))
    assert_close(compiled, plain, rtol=2e-3, atol=2e-3)


def test_no_key_is_used_twice():
    with jax.debug_key_reuse(True):
        learner, state = learner_and_state(METHODS["maesn-ppo"], max_devices=1)
        jax.jit(learner.update)(state)


class PoisonedPoint(Point):
    """Some rewards are no numbers."""

    def step(self, state, action):
        state = super().step(state, action)
        return state.replace(reward=jnp.where(state.obs[0] > 0.2, jnp.nan, state.reward))


@pytest.mark.parametrize("name", [pytest.param("maesn-ppo", marks=pytest.mark.slow), "maesn-trpo"])
def test_rewards_that_are_no_numbers_are_found(name):
    """Though trpo would reject the step, and standardising make its advantages 0."""
    learner, state = learner_and_state(METHODS[name], env=PoisonedPoint())
    _, metrics = jax.jit(learner.update)(state)
    assert metrics["finite"] == 0.0


def test_more_tasks_can_be_drawn_than_there_are():
    config = dataclasses.replace(METHODS["maesn-ppo"], num_train_tasks=2)
    learner, state = learner_and_state(config)
    _, metrics = jax.jit(learner.update)(state)
    assert metrics["finite"] == 1.0


def test_every_training_task_comes_up_and_the_tasks_never_change():
    learner, state = learner_and_state(METHODS["maesn-ppo"])
    run = jax.jit(lambda s: jax.lax.scan(lambda s, _: learner.update(s), s, length=10)[0])
    new = run(state)
    assert np.all(np.abs(new.params.latent.mean - state.params.latent.mean) > 1e-4)
    assert_close(new.tasks, state.tasks, rtol=0)


def test_meta_test_reports_every_task_and_iteration():
    config = METHODS["maesn-ppo"]
    learner, state = learner_and_state(config)
    tasks = ENV.sample_tasks(jax.random.key(5), 8)

    def run(max_devices):
        mesh = parallel.task_mesh(8, max_devices)
        test = lambda p, k: metatest.meta_test(  # noqa: E731
            Point(reward="sparse"), learner, mesh, 3, 5, p, tasks, k
        )
        params = jax.device_get(state.params)
        return jax.jit(test)(params, jax.random.key(6))

    two, one = run(2), run(1)
    assert two.episode_return.shape == two.success.shape == (8, 4)
    np.testing.assert_allclose(one.episode_return, two.episode_return, atol=1e-2)
    assert np.all((two.success >= 0) & (two.success <= 1))


def test_meta_test_equals_a_plain_loop():
    """Roll out, adapt by alpha times the schedule, repeat; theta never changes."""
    config = dataclasses.replace(METHODS["maesn-ppo"], num_episodes=4)
    learner, state = learner_and_state(config)
    env, tasks = Point(), ENV.sample_tasks(jax.random.key(5), 2)
    key = jax.random.key(6)
    mesh = parallel.task_mesh(2, 1)
    params = jax.device_get(state.params)
    test = jax.jit(lambda p, k: metatest.meta_test(env, learner, mesh, 3, 4, p, tasks, k))
    result = test(params, key)

    for n, task_key in enumerate(jax.random.split(key, 2)):
        zeros = jnp.zeros(2)
        latent, theta = Gaussian(zeros, zeros), params.policy
        task = jax.tree.map(lambda x, n=n: x[n : n + 1], tasks)
        for s, scale in enumerate([1.0, 1.0, 0.5, 0.25]):
            now = TaskParams(jax.tree.map(lambda x: x[None], latent), theta)
            keys = jax.random.split(jax.random.fold_in(task_key, s), 4)[None]
            trajectory = rollout(env, learner.policy, now, task_axes("latents"), task, keys)
            trajectory = jax.tree.map(lambda x: x[0], trajectory)
            expected = trajectory.reward.sum(axis=-1).mean()
            np.testing.assert_allclose(result.episode_return[n, s], expected, atol=1e-2)
            gradient = jax.grad(latent_objective)(latent, make_batch(trajectory, 0.99, 1.0))
            latent = jax.tree.map(
                lambda x, a, g, scale=scale: x + scale * a * g,
                latent,
                params.step_sizes.latent,
                gradient,
            )


def test_latents_steps_are_halved_again_and_again_and_thetas_once():
    alpha = StepSizes(Gaussian(jnp.array([2.0]), jnp.array([3.0])), jnp.float32(5.0))
    stages = meta_update.meta_test_step_sizes(alpha, 4)
    halved = np.array([1, 1, 0.5, 0.25, 0.125])[:, None]
    np.testing.assert_array_equal(stages.latent.mean, 2 * halved)
    np.testing.assert_array_equal(stages.latent.log_std, 3 * halved)
    np.testing.assert_array_equal(stages.policy, [5, 2.5, 2.5, 2.5, 2.5])


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["ppo", "trpo"])
def test_maesn_learns_the_point_robot(optimizer):
    """Sparse meta-test: from near doing nothing (-20) to most goals after a few inner steps."""
    config = maesn(
        optimizer=optimizer, num_episodes=20, hidden_sizes=(32, 32), latent_dim=4, kl_coef=0.5
    )
    learner, state = learner_and_state(config)
    run = jax.jit(lambda s: jax.lax.scan(lambda s, _: learner.update(s), s, length=150))
    state, metrics = run(state)
    assert metrics["return_post"][-1] > metrics["return_pre"][-1] + 1.0
    tasks = ENV.sample_tasks(jax.random.key(100), 40)
    result = jax.jit(
        lambda p, k: metatest.meta_test(
            Point(reward="sparse"), learner, parallel.task_mesh(40), 5, 20, p, tasks, k
        )
    )(state.params, jax.random.key(1))
    success = np.mean(result.success, axis=0)
    assert success[5] > success[0] + 0.2


def test_nothing_is_learned_once_the_step_size_has_fallen_to_zero():
    ppo = dataclasses.replace(METHODS["maesn-ppo"].ppo, decay_iterations=1)
    learner, first = learner_and_state(dataclasses.replace(METHODS["maesn-ppo"], ppo=ppo))
    update = jax.jit(learner.update)
    second, _ = update(first)
    third, _ = update(second)
    assert bits(first.params) != bits(second.params) == bits(third.params)
