"""The host loop that the benchmark compares with does what the library and Push do."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import host_env as host
from benchmarks.cases import Case
from explorax import distributions
from explorax.adapt import StepSizes, inner_step, make_batch
from explorax.algos.maesn import maesn
from explorax.config import TRPOConfig
from explorax.nets import gaussian_mlp_policy
from explorax.outer import MetaParams, make_objective
from explorax.rollout import TaskParams, task_axes
from explorax.trust_region import trust_region_step
from explorax.types import Gaussian, Trajectory
from explorax_envs.mjx_env import Carry
from explorax_envs.push import Push, sample_tasks

whole = lambda tree: tree  # noqa: E731  # on one device there is nothing to average over
NUM_TASKS, NUM_EPISODES, HORIZON, OBS, ACTIONS = 2, 4, 6, 4, 3


@pytest.fixture(scope="module")
def tasks():
    """Ten tasks of Push."""
    return sample_tasks(jax.random.key(0), 2)


@pytest.fixture
def envs(tasks):
    """As many environments."""
    return host.host_envs("disc", len(tasks.block))


def test_observations_and_rewards_are_those_of_push(tasks, envs, monkeypatch):
    env, rng = Push(), np.random.default_rng(0)
    monkeypatch.setattr(env, "advance", lambda state, _: state.pipeline_state)  # no physics
    host_tasks = host.HostTasks(*map(np.asarray, tasks))
    host.reset(envs, host_tasks)
    # blocks here and there, some of them at their goals
    for data in envs.data:
        data.qpos[:] += rng.uniform(-0.3, 0.3, 13)
        data.qvel[:] = rng.normal(size=13)
    carry = Carry(*(jnp.array([getattr(d, n) for d in envs.data]) for n in ("qpos", "qvel")))
    state = jax.vmap(lambda c, t: env.step(env.unpack(c, t), jnp.zeros(3)))(carry, tasks)
    obs = host.observe(envs)
    reward, success = host.rewards(obs, host_tasks)
    np.testing.assert_allclose(obs, state.obs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(reward, state.reward, rtol=1e-5)
    np.testing.assert_array_equal(success, state.metrics["success"])


def test_both_ways_to_step_are_one(tasks, envs):
    host_tasks = host.HostTasks(*map(np.asarray, tasks))
    actions = np.random.default_rng(1).normal(size=(20, len(envs.data), 3))
    episodes = []
    for step in (host.step_each, host.step_batched):
        host.reset(envs, host_tasks)
        episodes.append([step(envs, host_tasks, action) for action in actions])
    for each, batched in zip(*episodes, strict=True):
        for x, y in zip(each, batched, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
    assert np.abs(episodes[0][-1][0][:, 13:16]).max() > 0.1  # the hand moves


class Learning:
    """The same numbers for both: a policy, latents, episodes."""

    def __init__(self):
        self.config = maesn(
            optimizer="ppo",
            num_train_tasks=3,
            meta_batch_size=2,
            num_episodes=NUM_EPISODES,
            hidden_sizes=(5, 5),
        )
        self.policy = gaussian_mlp_policy(OBS, ACTIONS, 2, (5, 5), init_action_std=0.7)
        keys = jax.random.split(jax.random.key(3), 5)
        latent = Gaussian(*(0.3 * jax.random.normal(k, (3, 2)) for k in keys[:2]))
        alpha = StepSizes(Gaussian(jnp.array([3.0, 2.0]), jnp.array([1.0, 0.5])), jnp.zeros(()))
        theta = jax.tree.map(lambda x: x + 0.1, self.policy.init(keys[2]))
        self.meta, self.index = MetaParams(theta, latent, alpha), jnp.array([2, 0])
        self.stages = [self.episodes(key) for key in keys[3:]]
        make = jax.vmap(lambda t: make_batch(t, self.config.discount, self.config.gae_lambda))
        self.batch = jax.tree.map(lambda *x: jnp.stack(x), *map(make, self.stages))

    def episodes(self, key):
        """Of both tasks, with states and rewards that are noise."""
        keys = jax.random.split(key, 4)
        shape = (NUM_TASKS, NUM_EPISODES, HORIZON)
        noise = jax.random.normal(keys[0], (NUM_TASKS, NUM_EPISODES, 2))
        of_tasks = jax.tree.map(lambda x: x[self.index][:, None], self.meta.latent)
        z = distributions.sample(of_tasks, noise)
        obs = jax.random.normal(keys[1], (*shape, OBS))
        along = jnp.broadcast_to(z[:, :, None], (*shape, 2))
        dist = self.policy.apply(self.meta.policy, obs, along)
        action = distributions.sample(dist, 1.5 * jax.random.normal(keys[2], (*shape, ACTIONS)))
        # not quite what the policy says, so that some ratios are clipped
        log_prob = distributions.log_prob(dist, action) + 0.3 * obs[..., 0]
        reward = jax.random.normal(keys[3], shape)
        ones, z_log_prob = jnp.ones(shape), distributions.log_prob(of_tasks, z)
        return Trajectory(obs, action, dist, log_prob, reward, reward, ones, ones, z, noise,
                          z_log_prob)  # fmt: skip


@pytest.fixture(scope="module")
def learning():
    """What both learn from."""
    return Learning()


@pytest.fixture
def in_torch(learning):
    """The same as tensors: what is learned, the drawn tasks, both stages."""
    torch = pytest.importorskip("torch")
    from benchmarks import host_learner as learner

    def leaf(x):
        return torch.tensor(np.array(x), requires_grad=True)

    learned = jax.tree.map(leaf, as_learned(learner, learning.meta))
    stages = [
        learner.appraise(
            learning.config,
            learner.Episodes(*(np.array(getattr(t, name)) for name in learner.Episodes._fields)),
        )
        for t in learning.stages
    ]
    return learner, learned, torch.tensor(np.array(learning.index)), stages


def test_advantages_are_those_of_the_library(learning, in_torch):
    for s, batch in enumerate(in_torch[3]):
        expected = jax.tree.map(lambda x, s=s: x[s], learning.batch)
        for name in ("advantage", "episode_advantage"):
            np.testing.assert_allclose(
                getattr(batch, name), getattr(expected, name), rtol=1e-3, atol=1e-4
            )


def test_the_inner_step_is_that_of_the_library(learning, in_torch):
    learner, learned, index, stages = in_torch
    adapted = learner.adapt(learned, index, stages[0])
    params = TaskParams(
        jax.tree.map(lambda x: x[learning.index], learning.meta.latent), learning.meta.policy
    )
    axes = task_axes("latents")
    step = lambda p, b: inner_step(  # noqa: E731
        learning.policy, learning.config, p, learning.meta.step_sizes, b
    )
    first = jax.tree.map(lambda x: x[0], learning.batch)
    expected = jax.vmap(step, in_axes=(axes, 0), out_axes=axes)(params, first)
    for x, y in zip(adapted, expected.latent, strict=True):
        np.testing.assert_allclose(x.detach(), y, rtol=1e-3, atol=1e-4)


def as_learned(learner, meta):
    """MetaParams, or a gradient in them, as PyTorch's are arranged."""
    dense = [meta.policy["params"][f"Dense_{i}"] for i in range(3)]
    theta = learner.Theta(
        tuple(layer["kernel"].T for layer in dense),
        tuple(layer["bias"] for layer in dense),
        meta.policy["params"]["log_std"],
    )
    return learner.Learned(theta, meta.latent, meta.step_sizes.latent)


@pytest.mark.parametrize("optimizer", ["ppo", "trpo"])
def test_the_outer_gradient_is_that_of_the_library(learning, in_torch, optimizer):
    learner, learned, index, stages = in_torch
    config = replace(learning.config, optimizer=optimizer)
    dist = learner.act_again(learned, index, *stages)
    loss = learner.outer_loss(config, learned, index, dist, stages[1])
    loss.backward()
    objective = make_objective(learning.policy, config, learning.index, learning.batch, whole)
    expected, gradient = jax.jit(jax.value_and_grad(lambda m: objective.loss(m).loss))(
        learning.meta
    )
    np.testing.assert_allclose(loss.detach(), expected, rtol=1e-4)
    for x, y in zip(learned.leaves(), as_learned(learner, gradient).leaves(), strict=True):
        np.testing.assert_allclose(x.grad, y, rtol=1e-3, atol=1e-4)
        assert np.abs(y).max() > 1e-4


def test_the_trust_region_step_is_that_of_the_library(learning, in_torch):
    from benchmarks.host_trust_region import trust_region_step as step_in_torch

    learner, learned, index, stages = in_torch
    config = replace(learning.config, optimizer="trpo", trpo=TRPOConfig(curvature_stride=2))
    make = lambda c, batch: make_objective(learning.policy, c, learning.index, batch, whole)  # noqa: E731
    # the KL is from where the step begins, as it is where the adapted policy has sampled
    thick = replace(config, trpo=TRPOConfig(curvature_stride=1))
    dist = make(thick, learning.batch).act(learning.meta)
    trajectory = learning.batch.trajectory
    sampled = jax.tree.map(lambda x, y: x.at[-1].set(y), trajectory.action_dist, dist)
    batch = learning.batch._replace(trajectory=trajectory._replace(action_dist=sampled))
    objective = make(config, batch)

    def loss_and_kl(meta):
        found = objective.loss(meta)
        return found.loss, found.kl_policy

    stepped, info = trust_region_step(
        loss_and_kl, objective.act, objective.kl, learning.meta, config.trpo
    )
    before = [x.detach().clone() for x in learned.leaves()]
    step_in_torch(config, learned, index, *stages)
    assert info.accepted
    for x, y, old in zip(
        learned.leaves(), as_learned(learner, stepped).leaves(), before, strict=True
    ):
        moved = np.abs(y - old.numpy()).max()
        assert moved > 0
        np.testing.assert_allclose(x.detach(), y, atol=0.02 * moved)


@pytest.mark.parametrize("optimizer", ["ppo", "trpo"])
def test_a_whole_update_is_timed(optimizer):
    pytest.importorskip("torch")
    from benchmarks.host_loop import time_host_loop

    case = Case("host_loop", num_tasks=2, num_episodes=2, optimizer=optimizer, repeats=1)
    figures = time_host_loop(case)
    assert figures["steps"] == 2 * 2 * 2 * 100
    assert figures["sampling_s"] + figures["learning_s"] == pytest.approx(figures["seconds"])


def test_without_pytorch_the_row_says_how_to_install_it(monkeypatch):
    import sys

    from benchmarks.timing import figures_of

    for name in ("benchmarks.host_loop", "benchmarks.host_learner"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    row = figures_of(Case("host_loop", optimizer="ppo"))
    assert row["error"].startswith("not measured:")
    assert "torch is not installed" in row["error"] and "'.[torch]'" in row["error"]
