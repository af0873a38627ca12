"""A policy that starts as what continuous skills do."""

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

TURN = jnp.array([[0.0, 1.0], [-2.0, 0.0]])
CONFIG = maesn(
    num_train_tasks=8, meta_batch_size=4, num_episodes=4, hidden_sizes=(32, 32), optimizer="trpo"
)


FROZEN = FrozenSkills(TURN, (), ())


def turning_skills(std=0.1):
    """Skill z walks along tanh(z TURN), wherever it is; ``std`` is that before the tanh."""

    def apply(theta, obs, z):
        mean = z @ theta + 0.0 * jnp.sum(obs, axis=-1, keepdims=True)
        return Gaussian(mean, jnp.full_like(mean, jnp.log(std)))

    return SkillSet(
        Policy(lambda key: TURN, apply), 2, lambda key: FROZEN, lambda *_: jnp.zeros(())
    )


@pytest.fixture(scope="module")
def learner():
    return distilled.build(Point(), turning_skills(), CONFIG, parallel.one_device())


@pytest.fixture(scope="module")
def state(learner):
    return jax.jit(learner.init)(jax.random.key(0), FROZEN)


def test_the_policy_does_for_a_latent_what_that_skill_does(learner, state):
    """On states and latents that it was not shown; its deviation is left alone."""
    obs_key, z_key = jax.random.split(jax.random.key(1))
    obs = 0.2 * jax.random.normal(obs_key, (500, Point().observation_size))
    z = jax.random.normal(z_key, (500, 2))
    dist = learner.policy.apply(state.params.policy, obs, z)
    error = jnp.mean((dist.mean - jnp.tanh(z @ TURN)) ** 2)
    assert error < 0.01 * jnp.var(jnp.tanh(z @ TURN))
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
    both = jax.tree.map(lambda *x: jnp.stack(x), FROZEN, FrozenSkills(-TURN, (), ()))
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    together = jax.jit(over_seeds(learner).init)(keys, both)
    z = jax.random.normal(jax.random.key(1), (500, 2))
    obs = jnp.zeros((500, Point().observation_size))
    for member, turn in enumerate((TURN, -TURN)):
        theta = jax.tree.map(lambda x, m=member: x[m], together.params.policy)
        error = learner.policy.apply(theta, obs, z).mean - jnp.tanh(z @ turn)
        assert jnp.mean(error**2) < 0.01


class Wall(Point):
    """Episodes end with their first step."""

    def step(self, state, action):
        return super().step(state, action).replace(done=jnp.ones(()))


def test_what_comes_after_an_end_is_no_demonstration(learner, state, monkeypatch):
    """Where nothing is alive, nothing is learned."""
    key, skills = jax.random.key(0), turning_skills()
    shown = distilled._demonstrations(Wall(), skills, FROZEN, state.tasks, key)
    assert float(jnp.sum(shown[-1])) == CONFIG.num_train_tasks * distilled.DEMONSTRATIONS
    dead = (*shown[:-1], jnp.zeros_like(shown[-1]))
    monkeypatch.setattr(distilled, "_demonstrations", lambda *_: dead)
    theta = learner.policy.init(key)
    after = distilled.distil(Wall(), skills, FROZEN, learner.policy, theta, state.tasks, key)
    assert_close(after, theta)


def test_latents_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"meta\.latent_dim: must be 2"):
        distilled.build(
            Point(), turning_skills(), replace(CONFIG, latent_dim=3), parallel.one_device()
        )
