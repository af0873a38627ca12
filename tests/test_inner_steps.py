"""MAML with every inner surrogate, one to five inner steps and every outer optimiser."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from explorax import meta_update, parallel
from explorax.algos.maml import maml
from explorax.estimators import SURROGATES
from explorax.outer import adapt_again
from explorax_envs.point import Point
from trees import bits

NAMES = ("estimator", "num_inner_steps", "optimizer")
NUM_STEPS = (1, 2, 3, 4, 5)
OPTIMIZERS = ("trpo", "promp", "ppo")
USUAL = {
    ("loglik", 3, "trpo"),
    ("lvc", 2, "promp"),
    ("dice", 5, "ppo"),
    ("emaml", 4, "promp"),
    ("first_order", 1, "ppo"),
}
"""Every surrogate, number of steps and optimiser once; to trace all takes a minute and a half."""
EXECUTED = (("loglik", 3, "trpo"), ("dice", 5, "ppo"), ("lvc", 2, "promp"))
GRID = [(e, n, o) for e in SURROGATES for n in NUM_STEPS for o in OPTIMIZERS]


def learner_of(estimator, num_inner_steps, optimizer):
    config = maml(
        num_train_tasks=3,
        meta_batch_size=2,
        num_episodes=4,
        hidden_sizes=(8,),
        estimator=estimator,
        num_inner_steps=num_inner_steps,
        optimizer=optimizer,
    )
    mesh = parallel.task_mesh(2)
    return config, meta_update.build(Point(), config, mesh), mesh


@pytest.mark.parametrize(
    NAMES, [pytest.param(*c, marks=() if c in USUAL else pytest.mark.slow) for c in GRID]
)
def test_an_update_gives_a_state_of_the_same_kind(estimator, num_inner_steps, optimizer):
    """So that the next update is the same program; by shapes alone."""
    _, learner, _ = learner_of(estimator, num_inner_steps, optimizer)
    state = jax.eval_shape(learner.init, jax.random.key(0))
    new, metrics = jax.eval_shape(learner.update, state)
    kind = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)  # noqa: E731
    assert kind(new) == kind(state)
    assert all(metric.shape == () for metric in metrics.values())
    of_optimizer = {"trpo": "line_search_ok", "promp": "kl_pre", "ppo": "clip_fraction"}
    assert of_optimizer[optimizer] in metrics
    assert learner.steps_per_update == 2 * 4 * 20 * (num_inner_steps + 1)


@pytest.mark.slow
@pytest.mark.parametrize(NAMES, EXECUTED)
def test_every_inner_step_moves_theta_and_the_update_is_finite(
    estimator, num_inner_steps, optimizer
):
    """The deviations that acted are those of the steps through which the outer gradient goes."""
    config, learner, mesh = learner_of(estimator, num_inner_steps, optimizer)
    state = parallel.replicate(jax.jit(learner.init)(jax.random.key(0)), mesh)
    index, keys = jnp.array([2, 0]), jax.random.split(jax.random.key(1), 2)

    @jax.jit
    def stages(state):
        batch = meta_update.sample_stages(
            Point(), learner.policy, config, state.params, index, state.tasks, keys
        )
        of_task = lambda i, b: adapt_again(learner.policy, config, state.params, i, b)  # noqa: E731
        thetas = jax.vmap(of_task, in_axes=(0, 1))(index, batch)
        return batch.trajectory.action_dist.log_std[:, :, 0, 0], [p.policy for p in thetas]

    acted, thetas = stages(state)
    assert len(thetas) == num_inner_steps + 1
    for before, after in pairwise(thetas):
        moved = jax.tree.map(lambda a, b: np.abs(a - b).reshape(2, -1).max(axis=-1), before, after)
        assert all(np.all(of_tasks > 1e-5) for of_tasks in jax.tree.leaves(moved))
    again = jnp.stack([theta["params"]["log_std"] for theta in thetas])
    np.testing.assert_allclose(again, acted, atol=1e-5)

    new, metrics = jax.jit(learner.update)(state)
    assert metrics["finite"] == 1.0
    assert all(np.isfinite(metric) for metric in metrics.values())
    assert bits(new.params.policy) != bits(state.params.policy)
