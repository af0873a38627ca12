"""Bonuses for new states, by hand, and what of them a task learned alone shows."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from explorax import curiosity, meta_update, parallel
from explorax.adapt import Batch, make_batch
from explorax.algos.scratch import scratch
from explorax.alone import curious_batch
from explorax.config import Curiosity
from explorax.rollout import returns_and_success
from explorax_envs.point import Point

ENV = Point("sparse")
CONFIG = scratch(num_train_tasks=2, meta_batch_size=2, hidden_sizes=(8,))
KINDS: tuple[Curiosity, ...] = ("rnd", "counts")


def around(center: tuple[float, float], seed: int):
    """Episodes (K=8, T=20) of states near a point."""
    return jnp.array(center) + 0.1 * jax.random.normal(jax.random.key(seed), (8, 20, 2))


def learn(kind: Curiosity, num_iterations: int = 0, only: int | None = None) -> Batch:
    """Batches (S, N) of three tasks, or of one of them learned without the others, by ppo."""
    config = dataclasses.replace(CONFIG, curiosity=kind, test_optimizer="ppo")
    learner = meta_update.build(ENV, config, parallel.task_mesh(2, 1))
    params = learner.init(jax.random.key(0)).params
    tasks, keys = ENV.sample_tasks(jax.random.key(1), 3), jax.random.split(jax.random.key(2), 3)
    if only is not None:
        tasks, keys = jax.tree.map(lambda x: x[only : only + 1], (tasks, keys))
    run = jax.jit(lambda p, t, k: learner.adapt(ENV, p, num_iterations, 6, t, k, lambda b: b))
    return run(params, tasks, keys)


def test_counts_by_hand():
    bonus = curiosity.counts(cell_size=0.5)
    state = bonus.init(jax.random.key(0))
    # cells reached, of side 0.5: (0, 0), (0, 0), (1, 0), then (0, 0), (-1, 0), nothing
    x = jnp.array([[9.0, 0.1, 0.4, 0.6], [9.0, 0.2, -0.1, 0.3]])
    obs, alive = jnp.stack([x, jnp.zeros((2, 4))], -1), jnp.array([[1.0] * 4, [1.0, 1.0, 0.0, 0.0]])
    paid, state = bonus.update(state, obs, alive)
    third = 3**-0.5
    np.testing.assert_allclose(paid, [[third, third, 1, 0], [third, 1, 0, 0]], rtol=1e-6)
    assert jnp.sum(state.visits) == jnp.sum(alive[:, :-1]) == 5
    paid, state = bonus.update(state, obs, alive)
    sixth, half = 6**-0.5, 2**-0.5
    np.testing.assert_allclose(paid, [[sixth, sixth, half, 0], [sixth, half, 0, 0]], rtol=1e-6)
    assert jnp.sum(state.visits) == 10


def test_cells_that_the_point_robot_can_reach_have_rows_of_their_own():
    side = (jnp.arange(-11, 11) + 0.5) * curiosity.CELL_SIZE
    cells = jnp.stack(jnp.meshgrid(side, side), -1)
    rows = curiosity.cell_index(cells, curiosity.CELL_SIZE, curiosity.TABLE_SIZE)
    assert len(np.unique(rows)) == len(side) ** 2
    assert rows.min() >= 0
    assert rows.max() < curiosity.TABLE_SIZE


def test_whitening_by_hand():
    """Two batches, a third of whose steps do not count, give the moments of all that do."""
    x = 7.0 + 3.0 * jax.random.normal(jax.random.key(0), (2, 4, 6, 2))
    weight = jnp.ones((2, 4, 6)).at[:, :, 4:].set(0.0)
    moments = curiosity.no_moments((2,))
    for batch, w in zip(x, weight, strict=True):
        moments = curiosity.add_to_moments(moments, batch, w)
    seen = np.asarray(x)[np.asarray(weight) > 0]
    assert moments.count == len(seen) == 32
    np.testing.assert_allclose(moments.mean, seen.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(moments.variance, seen.var(axis=0), rtol=1e-4)
    far = x[0].at[0, 0].set(jnp.array([1e3, -1e3]))
    white = np.asarray(curiosity.whiten(moments, far))
    np.testing.assert_array_equal(white[0, 0], [5.0, -5.0])
    np.testing.assert_allclose(white[1:], (x[0, 1:] - seen.mean(0)) / seen.std(0), rtol=1e-2)


def test_rnd_pays_less_for_what_it_was_trained_on():
    bonus = curiosity.rnd(2)
    state, alive = bonus.init(jax.random.key(0)), jnp.ones((8, 20))
    update = jax.jit(bonus.update)
    here, there = (1.0, 1.0), (-1.0, -1.0)
    both = jnp.concatenate([around(here, 1)[:4], around(there, 2)[:4]])
    _, state = update(state, both, alive)  # the scale of observations is that of both places
    first, _ = update(state, around(here, 3), alive)
    target = state.target
    for seed in range(20):
        _, state = update(state, around(here, seed), alive)
    last, _ = update(state, around(here, 99), alive)
    unseen, _ = update(state, around(there, 99), alive)
    assert jnp.mean(last) < 0.1 * jnp.mean(first)
    assert jnp.mean(unseen) > 5 * jnp.mean(last)
    jax.tree.map(np.testing.assert_array_equal, state.target, target)


def test_rnd_pays_errors_before_the_update_in_deviations():
    """From the first batch on, bonuses have unit deviation over all that was paid for."""
    bonus = curiosity.rnd(2, num_steps=0)
    obs, alive = around((1.0, 1.0), 0), jnp.ones((8, 20))
    paid, state = bonus.update(bonus.init(jax.random.key(0)), obs, alive)
    untrained = bonus.init(jax.random.key(0)).predictor
    jax.tree.map(np.testing.assert_array_equal, state.predictor, untrained)
    assert np.std(paid[:, :-1]) == pytest.approx(1.0, rel=1e-4)
    trained, _ = curiosity.rnd(2).update(bonus.init(jax.random.key(0)), obs, alive)
    np.testing.assert_allclose(trained, paid, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_what_follows_an_end_is_not_paid_and_not_seen(kind: Curiosity):
    bonus = curiosity.make_bonus(kind, 2)
    obs = around((0.0, 0.0), 0)
    alive = jnp.ones((8, 20)).at[:, 5:].set(0.0)  # step 4 reaches obs[5], where the episode ends
    start = bonus.init(jax.random.key(0))
    paid, state = bonus.update(start, obs, alive)
    assert jnp.all(paid[:, :5] > 0)
    assert jnp.all(paid[:, 5:] == 0)
    elsewhere = bonus.update(start, obs.at[:, 6:].set(50.0), alive)
    jax.tree.map(np.testing.assert_array_equal, elsewhere, (paid, state))
    full, _ = bonus.update(start, obs, jnp.ones((8, 20)))
    assert jnp.all(full[:, :-1] > 0)
    assert jnp.all(full[:, -1] == 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_learned_alone_shows_its_own_reward(kind: Curiosity):
    """The first episodes are equal with and without a bonus; what is learned from them is not."""
    plain, curious = learn("none"), learn(kind)
    jax.tree.map(np.testing.assert_array_equal, curious.trajectory, plain.trajectory)
    for name in ("advantage", "episode_advantage"):
        apart = np.abs(getattr(curious, name) - getattr(plain, name))
        assert np.all(np.max(apart[0].reshape(3, -1), axis=1) > 0.5)  # for each of the tasks


def test_advantages_are_those_of_reward_plus_weighted_bonus():
    trajectory = jax.tree.map(lambda x: x[0, 0], learn("none").trajectory)
    goal = jnp.zeros((6, 20)).at[0, 10:].set(1.0)  # makes the weight of the bonus matter
    trajectory = trajectory._replace(reward=goal)
    bonus = curiosity.counts()
    start = bonus.init(jax.random.key(0))
    config = dataclasses.replace(CONFIG, curiosity="counts", curiosity_coef=0.5)
    batch, _ = curious_batch(config, bonus, start, trajectory)
    novelty, _ = bonus.update(start, trajectory.obs, trajectory.alive)
    summed = trajectory._replace(reward=goal + 0.5 * novelty)
    expected = make_batch(summed, config.discount, config.gae_lambda)
    np.testing.assert_array_equal(batch.advantage, expected.advantage)
    np.testing.assert_array_equal(batch.trajectory.reward, goal)


def test_the_bonus_remembers_earlier_iterations():
    learned = learn("counts", num_iterations=2)
    config, bonus = dataclasses.replace(CONFIG, curiosity="counts"), curiosity.counts()
    state = bonus.init(jax.random.key(0))
    for iteration in range(3):
        trajectory = jax.tree.map(lambda x, i=iteration: x[i, 0], learned.trajectory)
        batch, state = curious_batch(config, bonus, state, trajectory)
        np.testing.assert_allclose(batch.advantage, learned.advantage[iteration, 0], atol=1e-3)


@pytest.mark.parametrize("kind", ["counts", pytest.param("rnd", marks=pytest.mark.slow)])
def test_no_bonus_leaks_between_tasks(kind: Curiosity):
    together, alone = learn(kind, num_iterations=2), learn(kind, num_iterations=2, only=1)
    for name in ("advantage", "episode_advantage"):
        several, one = getattr(together, name), getattr(alone, name)
        assert several.shape[:2] == (3, 3)
        np.testing.assert_allclose(several[:, 1:2], one, atol=2e-2)
        assert np.max(np.abs(several[:, :1] - one)) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_curiosity_finds_goals_that_a_random_walk_misses(kind: Curiosity):
    def final_success(kind: Curiosity) -> float:
        config = scratch(hidden_sizes=(32, 32), curiosity=kind, curiosity_coef=0.1)
        learner = meta_update.build(ENV, config, parallel.task_mesh(2, 1))
        params = learner.init(jax.random.key(0)).params
        tasks, keys = (
            ENV.sample_tasks(jax.random.key(1), 40),
            jax.random.split(jax.random.key(2), 40),
        )
        summary = lambda batch: jnp.mean(returns_and_success(batch.trajectory)[1])  # noqa: E731
        run = jax.jit(lambda p, t, k: learner.adapt(ENV, p, 30, 20, t, k, summary))
        return float(jnp.mean(run(params, tasks, keys)[-1]))

    assert final_success(kind) > final_success("none") + 0.2
