"""A policy that starts as what skills do."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from explorax import parallel
from explorax.algos import distilled
from explorax.algos.maesn import maesn
from explorax.meta_update import build
from explorax.nets import Policy
from explorax.options import FrozenSkills, SkillSet
from explorax.types import Gaussian
from explorax.varied import over_seeds
from explorax_envs.point import Point
from trees import assert_close

ANGLES = jnp.array([0.3, 4.0, 2.0, 5.2, 1.2, 3.1])
FROZEN = FrozenSkills(ANGLES, (), ())
POSITION = Point.features["position"]
CONFIG = maesn(num_train_tasks=8, meta_batch_size=4, num_episodes=4, hidden_sizes=(32, 32))


def direction(angle):
    return 0.5 * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)


def moving_skills():
    """Six skills that walk at different angles; their deviation is that before the tanh."""

    def apply(theta, obs, skill):
        mean = jnp.arctanh(direction(skill @ theta)) + 0.0 * jnp.sum(obs, axis=-1, keepdims=True)
        return Gaussian(mean, jnp.full_like(mean, jnp.log(0.1)))

    return SkillSet(
        Policy(lambda key: ANGLES, apply), 6, lambda key: FROZEN, lambda *_: jnp.zeros(())
    )


@pytest.fixture(scope="module")
def learner():
    return distilled.build(Point(), moving_skills(), POSITION, CONFIG, parallel.one_device())


@pytest.fixture(scope="module")
def state(learner):
    return jax.jit(learner.init)(jax.random.key(0), FROZEN)


@pytest.fixture(scope="module")
def shown(state):
    return jax.jit(
        lambda: distilled.demonstrations(
            Point(), moving_skills(), FROZEN, state.tasks, jax.random.key(2)
        )
    )()


def places(shown):
    number, trajectory = shown
    return np.asarray(distilled.places_of(number, trajectory.obs[..., jnp.array(POSITION)], 6))


def test_skills_take_turns_on_every_task(shown):
    number, trajectory = shown
    assert len(number) == 8 * distilled.DEMONSTRATIONS
    assert set(np.bincount(number)) <= {53, 54}
    walked = trajectory.obs[:, -1] - trajectory.obs[:, 0]
    heading = jnp.arctan2(walked[:, 1], walked[:, 0]) % (2 * jnp.pi)
    np.testing.assert_allclose(heading, ANGLES[number], atol=0.15)


def test_neighbours_on_the_circle_are_alike(shown):
    """In the order of their angles, from whichever and in whichever direction."""
    place = places(shown)
    assert sorted(place) == list(range(6))
    by_angle = place[np.argsort(np.asarray(ANGLES))]
    steps = set(np.diff(np.append(by_angle, by_angle[0])) % 6)
    assert steps in ({1}, {5})


def test_skills_that_do_nothing_but_the_same_are_still_placed():
    seen = jnp.ones((12, 3, 2))
    place = distilled.places_of(jnp.arange(12) % 4, seen, 4)
    assert sorted(np.asarray(place)) == [0, 1, 2, 3]


def test_latents_are_normal_and_each_skill_has_its_part():
    place = jnp.arange(60_000) % 6
    z = np.asarray(distilled.latents_of(place, 6, 3, jax.random.key(0)))
    np.testing.assert_allclose(np.cov(z.T), np.eye(3), atol=0.03)
    np.testing.assert_allclose(np.mean(z, axis=0), np.zeros(3), atol=0.02)
    assert abs(np.mean(np.sum(z**2, axis=1) ** 2) - 15.0) < 0.5, "3 (3 + 2) of a normal"
    angle = np.arctan2(z[:, 1], z[:, 0]) % (2 * np.pi)
    assert (np.floor(6 * angle / (2 * np.pi)).astype(int) == np.asarray(place)).all()


def test_the_policy_does_for_a_latent_what_the_skill_there_does(learner, state, shown):
    """In the middle of each skill's part; its deviation is left alone."""
    middle = 2 * jnp.pi * (places(shown) + 0.5) / 6
    z = jnp.stack([jnp.cos(middle), jnp.sin(middle)], axis=-1)
    obs = jnp.tile(jnp.array([0.05, -0.05]), (6, 1))
    dist = learner.policy.apply(state.params.policy, obs, z)
    assert float(jnp.max(jnp.abs(dist.mean - direction(ANGLES)))) < 0.1
    np.testing.assert_allclose(jnp.exp(dist.log_std), CONFIG.init_action_std, rtol=1e-6)


def test_all_else_is_as_without_skills(learner, state):
    usual = build(Point(), CONFIG, parallel.one_device()).init(jax.random.key(0))
    assert_close(state._replace(params=()), usual._replace(params=()))
    assert_close(state.params._replace(policy=()), usual.params._replace(policy=()))
    assert_close(learner.init(jax.random.key(0)), usual)


def test_an_update_goes_on_from_there(learner, state):
    after, metrics = jax.jit(learner.update)(state)
    assert metrics["finite"] == 1.0
    assert metrics["line_search_ok"] == 1.0
    assert int(after.iteration) == 1


def test_seeds_start_from_their_own_skills(learner):
    """The same seed twice, and skills that are turned."""
    turned = FrozenSkills(ANGLES + 1.0, (), ())
    both = jax.tree.map(lambda *x: jnp.stack(x), FROZEN, turned)
    keys = jax.vmap(jax.random.key)(jnp.array([0, 0]))
    together = jax.jit(over_seeds(learner).init)(keys, both)
    thetas = [jax.tree.map(lambda x, m=m: x[m], together.params.policy) for m in (0, 1)]
    for theta, angles in zip(thetas, (ANGLES, ANGLES + 1.0), strict=True):
        z = jax.random.normal(jax.random.key(3), (500, 2))
        mean = learner.policy.apply(theta, jnp.zeros((500, 2)), z).mean
        nearest = jnp.min(jnp.linalg.norm(mean[:, None] - direction(angles), axis=-1), axis=1)
        assert jnp.median(nearest) < 0.1
    first, second = (t["params"]["Dense_0"]["kernel"] for t in thetas)
    assert jnp.max(jnp.abs(first - second)) > 0.01


def test_what_comes_after_an_end_is_not_learned_from(learner, shown):
    _, trajectory = shown
    dead = trajectory._replace(alive=jnp.zeros_like(trajectory.alive))
    theta, z = learner.policy.init(jax.random.key(0)), jnp.zeros((len(dead.alive), 2))
    after = distilled.distil(learner.policy, theta, dead, z, jax.random.key(0))
    assert_close(after, theta)


@pytest.mark.parametrize(
    ("features", "latent_dim", "field"),
    [(POSITION, 1, r"meta\.latent_dim"), ((0,), 2, r"skills\.features")],
)
def test_what_has_no_circle_is_refused(features, latent_dim, field):
    config = replace(CONFIG, latent_dim=latent_dim)
    with pytest.raises(ValueError, match=f"{field}: must be at least 2"):
        distilled.build(Point(), moving_skills(), features, config, parallel.one_device())
