"""Options: what c steps of a skill earn, and that a controller of skills learns like any policy."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compilations import compilations, host_operations
from explorax import distributions, parallel
from explorax.algos import hmrl
from explorax.algos.maesn import maesn
from explorax.config import OptionConfig
from explorax.metatest import meta_test
from explorax.nets import Policy, controller_policy
from explorax.options import FrozenSkills, Options, SkillSet
from explorax.types import Gaussian, SkillChoice
from explorax.varied import over_seeds
from explorax_envs.point import Point
from trees import assert_close

DIRECTIONS = jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
FROZEN = FrozenSkills(DIRECTIONS, (), ())
LENGTH, DISCOUNT = 5, 0.9


def moving_skills(std=0.0):
    """Three skills that walk along DIRECTIONS at half speed; ``std`` is that before their tanh."""

    def apply(theta, obs, skill):
        mean = jnp.arctanh(0.5) * (skill @ theta)
        return Gaussian(mean, jnp.full_like(mean, jnp.log(std)))

    def reward(frozen, obs, skill):  # right of 0 it was probably the first
        logits = jnp.pad(obs[..., :1], [(0, 0)] * (obs.ndim - 1) + [(0, 2)])
        return jnp.sum(skill * jax.nn.log_softmax(logits), axis=-1) + jnp.log(3.0)

    return SkillSet(Policy(lambda key: DIRECTIONS, apply), 3, lambda key: FROZEN, reward)


def options_of(env=None, std=0.0, **config):
    config = OptionConfig(**{"length": LENGTH, **config})
    return Options(env or Point(), moving_skills(std), DIRECTIONS, config, DISCOUNT)


def one_task(env):
    return jax.tree.map(lambda x: x[0], env.sample_tasks(jax.random.key(0), 1))


def test_an_option_is_c_steps_of_the_environment():
    """Rewards are discounted within it; the report's is their sum."""
    env, options = Point(), options_of()
    assert (options.horizon, options.action_size) == (env.horizon // LENGTH, 3)
    task = one_task(env)
    state = options.step(options.reset(jax.random.key(1), task), jnp.array([0.0, 1.0, 0.0]))
    by_hand, rewards, successes = env.reset(jax.random.key(1), task), [], []
    for _ in range(LENGTH):
        by_hand = env.step(by_hand, jnp.array([0.0, 0.5]))
        rewards.append(float(by_hand.reward))
        successes.append(float(by_hand.metrics["success"]))
    np.testing.assert_allclose(state.obs, by_hand.obs, atol=1e-6)
    weights = DISCOUNT ** np.arange(LENGTH)
    np.testing.assert_allclose(state.reward, weights @ rewards, rtol=1e-5)
    np.testing.assert_allclose(state.metrics["task_reward"], sum(rewards), rtol=1e-5)
    assert state.metrics["success"] == max(successes)
    assert state.done == 0.0


class Fence(Point):
    """Episodes that end where x exceeds 0.12."""

    def step(self, state, action):
        state = super().step(state, action)
        return state.replace(done=(state.obs[0] > 0.12).astype(jnp.float32))


def test_an_option_ends_with_its_episode():
    env = Fence()
    options, task = options_of(env), one_task(env)
    state = options.step(options.reset(jax.random.key(1), task), jnp.array([1.0, 0.0, 0.0]))
    by_hand, rewards = env.reset(jax.random.key(1), task), []
    while by_hand.done == 0.0:
        by_hand = env.step(by_hand, jnp.array([0.5, 0.0]))
        rewards.append(float(by_hand.reward))
    assert 1 < len(rewards) < LENGTH
    assert state.done == 1.0
    np.testing.assert_allclose(state.obs, by_hand.obs, atol=1e-6)
    np.testing.assert_allclose(state.metrics["task_reward"], sum(rewards), rtol=1e-5)


def test_a_residual_is_clipped_and_added_to_every_action():
    env, options = Point(), options_of(residual=True)
    assert options.action_size == 5
    action = jnp.array([0.0, 1.0, 0.0, 3.0, -0.25])  # a residual of 1, clipped, and -0.25
    got = options.step(options.reset(jax.random.key(1), one_task(env)), action)
    by_hand = env.reset(jax.random.key(1), one_task(env))
    for _ in range(LENGTH):
        by_hand = env.step(by_hand, jnp.array([1.0, 0.25]))
    np.testing.assert_allclose(got.obs, by_hand.obs, atol=1e-6)


def test_skills_act_at_random_and_anew_in_every_option():
    options = options_of(std=0.5)
    task, skill = one_task(Point()), jnp.array([1.0, 0.0, 0.0])
    first = options.reset(jax.random.key(1), task)
    moved = options.step(first, skill)
    again = options.step(first, skill)
    np.testing.assert_array_equal(moved.obs, again.obs)
    restored = options.unpack(options.pack(moved), task)
    further = options.step(restored, skill)
    np.testing.assert_array_equal(further.obs, options.step(moved, skill).obs)
    assert jnp.abs((further.obs - moved.obs) - (moved.obs - first.obs)).max() > 1e-3
    other = options.step(options.reset(jax.random.key(2), task), skill)
    assert jnp.abs(other.obs - moved.obs).max() > 1e-3


def choice(seed, num_residuals=2):
    """Some distribution over three skills and residuals, for a batch of four."""
    keys = jax.random.split(jax.random.key(seed), 3)
    shape = (4, num_residuals)
    mean, log_std = (0.3 * jax.random.normal(key, shape) for key in keys[:2])
    return SkillChoice(jax.random.normal(keys[2], (4, 3)), Gaussian(mean, log_std))


def test_skill_choices_are_drawn_with_their_probabilities():
    dist = jax.tree.map(lambda x: x[0], choice(0))
    noise = jax.random.normal(jax.random.key(1), (200_000, 5))
    drawn = distributions.sample(dist, noise)
    np.testing.assert_allclose(drawn[:, :3].mean(axis=0), jax.nn.softmax(dist.logits), atol=5e-3)
    np.testing.assert_array_equal(drawn[:, :3].sum(axis=1), 1.0)
    np.testing.assert_allclose(drawn[:, 3:].mean(axis=0), dist.residual.mean, atol=2e-2)
    # E_p[log p - log q] is the KL, E_p[-log p] the entropy.
    other = jax.tree.map(lambda x: x[0], choice(5))
    log_p, log_q = (distributions.log_prob(d, drawn) for d in (dist, other))
    np.testing.assert_allclose((log_p - log_q).mean(), distributions.kl(dist, other), atol=2e-2)
    constant = 0.5 * (1 + np.log(2 * np.pi)) * 2  # which entropy leaves out of a Gaussian's
    np.testing.assert_allclose(-log_p.mean(), distributions.entropy(dist) + constant, atol=2e-2)
    assert jnp.isfinite(distributions.sample(dist, jnp.array([9.0, -9.0, 9.0, 0.0, 0.0]))).all()


def test_a_choice_without_residuals_is_the_categorical_one():
    dist = choice(0, num_residuals=0)
    skill = jnp.eye(3)[jnp.array([2, 0, 1, 1])]
    expected = jnp.log(jnp.sum(jax.nn.softmax(dist.logits) * skill, axis=-1))
    np.testing.assert_allclose(distributions.log_prob(dist, skill), expected, rtol=1e-5)
    assert distributions.sample(dist, jnp.zeros((4, 3))).shape == (4, 3)
    np.testing.assert_allclose(distributions.kl(dist, dist), 0.0, atol=1e-6)


def test_a_new_controller_prefers_nothing():
    policy = controller_policy(2, 3, 2, 4)
    theta = policy.init(jax.random.key(0))
    obs = jax.random.normal(jax.random.key(1), (50, 2))
    dist = policy.apply(theta, obs, jnp.zeros((50, 4)))
    assert distributions.categorical_entropy(dist.logits).min() > 0.99 * np.log(3)
    assert not dist.residual.mean.any()
    np.testing.assert_allclose(jnp.exp(dist.residual.log_std), 0.1, rtol=1e-6)


def test_the_curvature_of_a_residual_does_not_depend_on_its_deviation():
    """Or conjugate gradients would see nothing else of a trust region where it is small."""

    def kl_of_a_step(init_residual_std):
        policy = controller_policy(2, 3, 2, 4, init_residual_std=init_residual_std)
        theta = policy.init(jax.random.key(0))
        inputs = jax.random.normal(jax.random.key(1), (50, 2)), jnp.zeros((50, 4))
        head = {name: x + 0.1 for name, x in theta["params"]["Dense_3"].items()}
        assert head["bias"].shape == (2,)
        moved = {"params": theta["params"] | {"Dense_3": head}}
        return float(distributions.kl(*(policy.apply(t, *inputs) for t in (moved, theta))).mean())

    assert kl_of_a_step(0.01) == pytest.approx(kl_of_a_step(1.0), rel=1e-3)
    assert kl_of_a_step(1.0) > 1e-3


CONFIG = maesn(
    optimizer="ppo",
    num_train_tasks=10,
    meta_batch_size=10,
    num_episodes=20,
    hidden_sizes=(16,),
    discount=DISCOUNT,
)


@pytest.mark.slow
def test_a_controller_learns_point():
    """From half-speed skills: its return rises, in one program with adaptation."""
    env, mesh = Point(), parallel.task_mesh(10, 2)
    options = OptionConfig(length=LENGTH)
    learner = hmrl.build(env, moving_skills(0.2), options, CONFIG, mesh)
    assert learner.steps_per_update == 2 * 10 * 20 * env.horizon
    state = parallel.replicate(
        jax.jit(learner.init)(jax.random.key(0), jax.device_get(FROZEN)), mesh
    )
    program = jax.jit(lambda s: jax.lax.scan(lambda s, _: learner.update(s), s, length=20))
    state, metrics = program(state)
    with compilations() as again:
        jax.block_until_ready(program(state))
    assert not again
    np.testing.assert_array_equal(state.params.skills.policy, DIRECTIONS)
    assert metrics["finite"].all()
    assert metrics["return_post"][-3:].mean() > metrics["return_post"][:3].mean() + 1.0
    assert metrics["skill_entropy"][0] > 0.95 * np.log(3) > metrics["skill_entropy"][-1]
    sparse, tasks = Point(reward="sparse"), env.sample_tasks(jax.random.key(3), 10)
    test = jax.jit(partial(meta_test, sparse, learner, mesh, 2, 5))
    result = test(state.params, parallel.replicate(tasks, mesh), jax.random.key(4))
    assert result.episode_return.shape == (10, 3)
    assert jnp.isfinite(result.episode_return).all()


def test_a_controllers_update_asks_nothing_of_its_host():
    """Its choices paid, and with a residual."""
    options = OptionConfig(length=LENGTH, residual=True, intrinsic_coef=0.1)
    learner = hmrl.build(Point(), moving_skills(0.2), options, CONFIG, parallel.task_mesh(2, 2))
    state = jax.eval_shape(learner.init, jax.random.key(0), FROZEN)
    assert not host_operations(jax.jit(learner.update).lower(state))


@pytest.mark.slow
def test_every_seed_has_skills_of_its_own_and_learns_nothing_of_them():
    """Side by side as alone; skills are data: other ones, same program, other returns."""
    env, mesh = Point(), parallel.task_mesh(2, 2)
    config = replace(CONFIG, num_train_tasks=2, meta_batch_size=2, num_episodes=4)
    learner = hmrl.build(env, moving_skills(0.2), OptionConfig(length=LENGTH), config, mesh)
    keys = jax.vmap(jax.random.key)(jnp.array([0, 0]))
    skills = FrozenSkills(np.stack([DIRECTIONS, -0.5 * DIRECTIONS]), (), ())
    together = over_seeds(learner)
    state, metrics = jax.jit(together.update)(jax.jit(together.init)(keys, skills))
    np.testing.assert_array_equal(state.params.skills.policy, skills.policy)
    assert metrics["return_pre"][0] != metrics["return_pre"][1]
    update = jax.jit(learner.update)
    for i in (0, 1):
        alone, _ = update(jax.jit(learner.init)(keys[i], FrozenSkills(skills.policy[i], (), ())))
        of_seed = jax.tree.map(lambda x, i=i: x[i], state)
        assert_close(alone, of_seed, rtol=1e-4, atol=1e-5)
    assert update._cache_size() == 1


def begun(env, **config):
    """A controller's learner, its first parameters, two tasks and their keys."""
    options = OptionConfig(length=LENGTH, **config)
    learner = hmrl.build(env, moving_skills(0.2), options, CONFIG, parallel.task_mesh(2, 1))
    state = jax.jit(learner.init)(jax.random.key(0), FROZEN)
    tasks, keys = env.sample_tasks(jax.random.key(3), 2), jax.random.split(jax.random.key(4))
    return learner, state.params, tasks, keys


@pytest.mark.parametrize("env", [Point(), Fence()], ids=["whole", "ending early"])
def test_episodes_are_watched_step_by_step(env):
    """Every c-th observation is one that was acted on; those between follow from the actions."""
    learner, params, tasks, keys = begun(env, residual=True)

    @jax.jit
    def program(params):
        trajectory = learner.adapt(env, params, 1, 4, tasks, keys, lambda batch: batch.trajectory)
        return trajectory, learner.watch(env, params, tasks, keys, trajectory)

    trajectory, obs = program(params)
    assert obs.shape == (2, 2, 4, env.horizon, 2)
    alive = trajectory.alive.astype(bool)
    assert alive.all() == (type(env) is Point)
    np.testing.assert_allclose(obs[..., ::LENGTH, :], trajectory.obs, atol=1e-5)
    moved = jnp.linalg.norm(jnp.diff(obs, axis=-2), axis=-1)
    assert 0 < moved.max() < 0.2 * np.sqrt(2)


def of_choices(intrinsic_coef, env=None):
    """Of 2 tasks, 4 episodes before adaptation and 4 after one step; batch, leading axes (S, N)."""
    env = env or Point()
    learner, params, tasks, keys = begun(env, intrinsic_coef=intrinsic_coef)
    adapt = lambda params: learner.adapt(env, params, 1, 4, tasks, keys, lambda batch: batch)  # noqa: E731
    return jax.jit(adapt)(params)


def test_choices_are_paid_for_being_told_apart_by_where_they_lead():
    """log q(k | s') - log p(k), by hand; the last choice of an episode is paid nothing."""
    usual, batch = (of_choices(beta, Point(reward="sparse")) for beta in (0.0, 0.5))
    trajectory = jax.tree.map(lambda x: x[0], batch.trajectory)  # (N, K, T)
    x = trajectory.obs[..., 1:, 0]
    rest = np.log(np.exp(x) + 2.0)
    bonus = np.where(trajectory.action[..., :-1, 0] == 1.0, x - rest, -rest) + np.log(3.0)
    expected = usual.trajectory.reward[0] + 0.5 * np.pad(bonus, [(0, 0), (0, 0), (0, 1)])
    np.testing.assert_allclose(trajectory.reward, expected, atol=1e-5)
    np.testing.assert_array_equal(trajectory.obs, usual.trajectory.obs[0])
    before, after = usual.episode_advantage[0], batch.episode_advantage[0]
    assert not np.any(before), "a sparse reward that nobody finds tells no episodes apart"
    assert np.all(np.std(after, axis=-1) > 0.5)


def test_a_paid_controller_needs_an_inner_step():
    config = replace(CONFIG, num_inner_steps=0)
    options = OptionConfig(length=LENGTH, intrinsic_coef=0.1)
    with pytest.raises(ValueError, match=r"meta\.num_inner_steps: must not be 0 when"):
        hmrl.build(Point(), moving_skills(), options, config, parallel.task_mesh(2, 1))
    with pytest.raises(ValueError, match=r"options\.intrinsic_coef: must not be negative"):
        OptionConfig(intrinsic_coef=-0.1)


def test_options_have_to_divide_the_horizon():
    with pytest.raises(ValueError, match=r"options\.length: must divide the environment's horizon"):
        options_of(length=3)
    with pytest.raises(ValueError, match=r"options\.init_residual_std"):
        OptionConfig(init_residual_std=0.0)


def test_options_discounted_one_by_one_are_their_steps_discounted():
    """sum_i (gamma^c)^i R_i = sum_t gamma^t r_t."""
    env, options = Point(), options_of()
    task, chosen = one_task(env), [0, 2, 1, 1]
    state, by_hand = (e.reset(jax.random.key(1), task) for e in (options, env))
    total = expected = 0.0
    discount = hmrl.per_option(CONFIG, options.config).discount
    for i, skill in enumerate(chosen):
        state = options.step(state, jnp.eye(3)[skill])
        total += discount**i * float(state.reward)
    for t in range(env.horizon):
        by_hand = env.step(by_hand, 0.5 * DIRECTIONS[chosen[t // LENGTH]])
        expected += DISCOUNT**t * float(by_hand.reward)
    assert total == pytest.approx(expected, rel=1e-5)
