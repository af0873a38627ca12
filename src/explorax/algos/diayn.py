"""DIAYN: skills without a reward (Eysenbach et al. 2018, arXiv 1802.06070, algorithm 1); VIC.

One skill z ~ p(z) for a whole episode; maximised is H[a | s, z] + E[log q(z | f(s')) - log p(z)]:

    soft actor-critic on the intrinsic reward, q trained to tell skills apart by what they reach

VIC (Gregor et al. 2016, arXiv 1611.07507) pays for the last state of the episode alone, and learns
p(z); here q sees f(s_T) only, there the first state too. Iteration: episodes into the replay
buffer, then gradient steps; all one XLA program.

Where to read it:
  the reward (3), p(z), q(z | f)   skills
  z once per episode               unroll
  soft actor-critic                sac.make_sac
  VIC's last state, its p(z)       replay.remember, prior_step
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from brax.training.replay_buffers import ReplayBufferState, UniformSamplingQueue
from brax.training.types import Transition
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray

from explorax.config import SkillConfig
from explorax.metrics import all_finite, spread_metrics
from explorax.nets import Discriminator, discriminator
from explorax.options import FrozenSkills, SkillSet
from explorax.parallel import (
    gather_over_devices,
    key_of_device,
    mean_over_devices,
    over_tasks,
    share_of_device,
)
from explorax.replay import Experience, remember, replay_buffer
from explorax.rollout import returns_and_success, rollout_given
from explorax.sac import SAC, SACState, make_sac, squashed
from explorax.skills import Skills, make_skills
from explorax.types import Env, Metrics, PyTree, Task, Trajectory


class SkillParams(NamedTuple):
    """What is learned."""

    sac: SACState
    discriminator: PyTree  # of q(z | f(s))
    prior: PyTree  # of p(z): logits (M,), or nothing


class SkillState(NamedTuple):
    """All that a run carries from one iteration to the next."""

    params: SkillParams
    adam: optax.OptState  # the discriminator's
    prior_adam: optax.OptState
    replay: ReplayBufferState
    tasks: Task  # the training tasks, leading axis N
    key: PRNGKeyArray  # never changes: streams come from (key, iteration)
    iteration: Int[Array, ""]  # iterations done


class InitStreams(NamedTuple):
    """The random streams of ``init``; tasks and updates stand where ``meta_update`` has them."""

    networks: PRNGKeyArray
    replay: PRNGKeyArray
    tasks: PRNGKeyArray
    updates: PRNGKeyArray


class UpdateStreams(NamedTuple):
    """The random streams of one iteration."""

    skills: PRNGKeyArray
    tasks: PRNGKeyArray
    episodes: PRNGKeyArray
    gradients: PRNGKeyArray


class SkillLearner(NamedTuple):
    """Skill discovery as pure functions."""

    init: Callable[[PRNGKeyArray], SkillState]
    """seed key -> first state"""
    update: Callable[[SkillState], tuple[SkillState, Metrics]]
    """one iteration; scalars out"""
    unroll: Callable[[SkillParams, Task, Float[Array, "N Z"], PRNGKeyArray], Trajectory]
    """(params, tasks, skills, keys), leading axes N -> one episode of each, leading axis N"""
    infer: Callable[[SkillParams, Float[Array, "*batch O"]], Array]
    """(params, obs) -> discriminator's outputs (*batch, D): logits, or mean and log-std of q(z)"""
    skills: Skills
    steps_per_update: int
    """environment steps that one iteration takes"""


class _Parts(NamedTuple):
    """What the functions below work with."""

    env: Env  # as seen through tanh
    features: Array  # indices of f(s) in an observation
    config: SkillConfig
    skills: Skills
    sac: SAC
    discriminator: Discriminator
    optimizer: optax.GradientTransformation  # the discriminator's
    prior_optimizer: optax.GradientTransformation
    queue: UniformSamplingQueue


def build(env: Env, features: tuple[int, ...], config: SkillConfig, mesh: Mesh) -> SkillLearner:
    """The learner that ``config`` describes, its episodes and batches spread over ``mesh``.

    Args:
      env: static environment; its reward is never used.
      features: indices of f(s), what the discriminator sees, in an observation.
      config: the numbers.
      mesh: its size divides ``num_episodes`` and ``batch_size``.

    Raises:
      ValueError: the replay buffer does not hold one iteration.
    """
    parts = _parts(env, features, config)
    return SkillLearner(
        init=partial(init_state, parts),
        update=partial(update, parts, mesh),
        unroll=partial(unroll, parts),
        infer=lambda params, obs: parts.discriminator.apply(
            params.discriminator, obs[..., parts.features]
        ),
        skills=parts.skills,
        steps_per_update=config.num_episodes * env.horizon,
    )


def skill_set(env: Env, features: tuple[int, ...], config: SkillConfig) -> SkillSet:
    """The skills that ``config`` describes, frozen: for a controller, or for a policy's start.

    Args:
      env: static environment.
      features: indices of f(s), what the discriminator sees, in an observation.
      config: the numbers; its skills are categorical.
    """
    parts = _parts(env, features, config)

    def init(key: PRNGKeyArray) -> FrozenSkills:
        policy_key, discriminator_key = jax.random.split(key)
        phi = parts.discriminator.init(discriminator_key)
        return FrozenSkills(parts.sac.policy.init(policy_key), phi, parts.skills.prior)

    def reward(skills: FrozenSkills, obs: Array, choice: Array) -> Array:
        code = jnp.argmax(choice, axis=-1, keepdims=True).astype(float)
        return intrinsic_reward(parts, skills, obs[..., parts.features], code)

    return SkillSet(parts.sac.policy, parts.skills.size, init, reward)


def frozen(params: SkillParams) -> FrozenSkills:
    """What a controller needs of what was learned."""
    return FrozenSkills(params.sac.policy, params.discriminator, params.prior)


def _parts(env: Env, features: tuple[int, ...], config: SkillConfig) -> _Parts:
    skills = make_skills(config)
    return _Parts(
        squashed(env),
        jnp.array(features),
        config,
        skills,
        make_sac(env, skills.size, config, mean_over_devices),
        discriminator(len(features), skills.output_size, config.hidden_sizes),
        optax.adam(config.learning_rate),
        optax.adam(config.prior_learning_rate),
        replay_buffer(env, skills.code_size, len(features), config),
    )


def init_state(parts: _Parts, key: PRNGKeyArray) -> SkillState:
    """Random networks, a discriminator that knows nothing, an empty replay buffer.

    The training tasks are those of a meta-learner with the same seed.
    """
    streams = InitStreams(*jax.random.split(key, len(InitStreams._fields)))
    policy_key, discriminator_key = jax.random.split(streams.networks)
    phi, prior = parts.discriminator.init(discriminator_key), parts.skills.prior
    return SkillState(
        SkillParams(parts.sac.init(policy_key), phi, prior),
        parts.optimizer.init(phi),
        parts.prior_optimizer.init(prior),
        parts.queue.init(streams.replay),
        parts.env.sample_tasks(streams.tasks, parts.config.num_train_tasks),
        streams.updates,
        jnp.zeros((), jnp.int32),
    )


def unroll(
    parts: _Parts,
    params: SkillParams,
    tasks: Task,
    skills: Float[Array, "N Z"],
    keys: PRNGKeyArray,
) -> Trajectory:
    """One episode per task, skill and key; each keeps its skill from beginning to end."""
    return rollout_given(parts.env, parts.sac.policy, params.sac.policy, tasks, skills, keys)


def intrinsic_reward(
    parts: _Parts,
    params: SkillParams | FrozenSkills,
    seen: Float[Array, "*batch F"],
    code: Float[Array, "*batch C"],
) -> Float[Array, "*batch"]:
    """log q(z | f) - log p(z), nats (eq. 3)."""
    outputs = parts.discriminator.apply(params.discriminator, seen)
    return parts.skills.log_posterior(outputs, code) - parts.skills.log_prior(params.prior, code)


def gradient_step(
    parts: _Parts,
    params: SkillParams,
    adam: optax.OptState,
    batch: Experience,
    key: PRNGKeyArray,
) -> tuple[SkillParams, optax.OptState, Metrics]:
    """Soft actor-critic on the intrinsic reward, then q by maximum likelihood."""
    z = parts.skills.embed(batch.code)
    state_extras: Any = {"state_extras": {"truncation": 1.0 - batch.alive}}
    transitions = Transition(
        observation=jnp.concatenate([batch.obs, z], axis=-1),
        action=batch.action,
        reward=batch.pays * intrinsic_reward(parts, params, batch.seen, batch.code),
        discount=batch.discount,
        next_observation=jnp.concatenate([batch.next_obs, z], axis=-1),
        extras=state_extras,
    )
    sac, metrics = parts.sac.step(params.sac, transitions, key)

    def loss(phi: PyTree) -> Array:
        outputs = parts.discriminator.apply(phi, batch.seen)
        return -jnp.mean(batch.alive * parts.skills.log_posterior(outputs, batch.code))

    value, gradient = jax.value_and_grad(loss)(params.discriminator)
    updates, adam = parts.optimizer.update(mean_over_devices(gradient), adam)
    phi = optax.apply_updates(params.discriminator, updates)
    metrics["discriminator_loss"] = value
    return params._replace(sac=sac, discriminator=phi), adam, metrics


def prior_step(
    parts: _Parts, state: SkillState, reward: Float[Array, " E"], code: Float[Array, "E C"]
) -> tuple[PyTree, optax.OptState]:
    """VIC's p(z): a policy gradient on what the episodes' skills earned, their mean as baseline."""
    advantage = reward - mean_over_devices(jnp.mean(reward))

    def objective(prior: PyTree) -> Array:
        return jnp.mean(advantage * parts.skills.log_prior(prior, code))

    gradient = mean_over_devices(jax.grad(objective)(state.params.prior))
    descent = jax.tree.map(jnp.negative, gradient)
    updates, adam = parts.prior_optimizer.update(descent, state.prior_adam)
    return optax.apply_updates(state.params.prior, updates), adam


def update(parts: _Parts, mesh: Mesh, state: SkillState) -> tuple[SkillState, Metrics]:
    """One iteration: ``num_episodes`` episodes, then ``num_gradient_steps`` gradient steps."""
    config = parts.config
    key = jax.random.fold_in(state.key, state.iteration)
    streams = UpdateStreams(*jax.random.split(key, len(UpdateStreams._fields)))
    skill_keys = jax.random.split(streams.skills, config.num_episodes)
    code = jax.vmap(lambda key: parts.skills.sample(key, state.params.prior))(skill_keys)
    chosen = jax.random.randint(streams.tasks, (config.num_episodes,), 0, config.num_train_tasks)
    tasks = jax.tree.map(lambda x: x[chosen], state.tasks)
    keys = jax.random.split(streams.episodes, config.num_episodes)

    def local(state, gradient_key, tasks, code, keys):
        # float32 throughout: an accelerator's faster products would spoil physics
        with jax.default_matmul_precision("highest"):
            return collect_and_learn(parts, state, gradient_key, tasks, code, keys)

    sharded = over_tasks(local, mesh, (False, False, True, True, True), out_tasks=False)
    state, metrics = sharded(state, streams.gradients, tasks, code, keys)
    finite = all_finite((state.params, metrics["return"])).astype(jnp.float32)
    return state._replace(iteration=state.iteration + 1), metrics | {"finite": finite}


def collect_and_learn(
    parts: _Parts,
    state: SkillState,
    key: PRNGKeyArray,
    tasks: Task,
    code: Float[Array, "E C"],
    keys: PRNGKeyArray,
) -> tuple[SkillState, Metrics]:
    """One device's share of an iteration: E episodes, and its part of each batch."""
    trajectory = unroll(parts, state.params, tasks, parts.skills.embed(code), keys)
    metrics, reward = skill_metrics(parts, state.params, trajectory, code)
    experience = gather_over_devices(
        remember(parts.config.objective, parts.features, trajectory, code)
    )
    replay = parts.queue.insert_internal(state.replay, experience)
    replay, drawn = parts.queue.sample_internal(replay)
    by_step = lambda x: x.reshape(parts.config.num_gradient_steps, -1, *x.shape[1:])  # noqa: E731
    batches = jax.tree.map(by_step, drawn)
    step_keys = jax.random.split(key, parts.config.num_gradient_steps)

    def step(carry, inputs):
        (params, adam), (batch, key) = carry, inputs
        batch, key = share_of_device(batch), key_of_device(key)
        params, adam, metrics = gradient_step(parts, params, adam, batch, key)
        return (params, adam), metrics

    (params, adam), losses = jax.lax.scan(step, (state.params, state.adam), (batches, step_keys))
    if parts.config.objective == "vic":
        prior, prior_adam = prior_step(parts, state, reward, code)
        params, state = params._replace(prior=prior), state._replace(prior_adam=prior_adam)
    metrics = mean_over_devices(metrics | jax.tree.map(lambda x: x[-1], losses))
    if parts.config.skill_space == "categorical":
        metrics["distinct_skills"] = jnp.exp(metrics["intrinsic_reward_last"])
    return state._replace(params=params, adam=adam, replay=replay), metrics


def skill_metrics(
    parts: _Parts, params: SkillParams, trajectory: Trajectory, code: Float[Array, "E C"]
) -> tuple[Metrics, Float[Array, " E"]]:
    """How well new episodes' skills can be told from their states; and the last state's reward.

    The states are those that are paid for: for VIC, whose q is trained on no others, the last ones.
    The mean reward of the last state bounds the information (nats) that it has about the skill from
    below; its exponential is ``distinct_skills``, at most M, where skills are numbered.
    ``effective_skills`` is the exponential of p(z)'s entropy, M unless p(z) is learned (Eysenbach
    2018, appendix E.2).
    ``action_std`` is the deviation before the tanh.
    """
    obs = trajectory.obs[:, -1:] if parts.config.objective == "vic" else trajectory.obs
    seen = obs[..., parts.features]
    reward = intrinsic_reward(parts, params, seen, code[:, None])  # (E, T), for VIC (E, 1)
    episode_return, success = returns_and_success(trajectory)
    metrics = {
        "intrinsic_reward": jnp.mean(reward),
        "intrinsic_reward_last": jnp.mean(reward[:, -1]),
        "return": jnp.mean(episode_return),
        "success": jnp.mean(success),
        **spread_metrics(trajectory.action_dist),
    }
    if parts.config.skill_space == "categorical":
        logits = parts.discriminator.apply(params.discriminator, seen)
        right = jnp.argmax(logits, axis=-1) == code.astype(jnp.int32)
        metrics["accuracy"] = jnp.mean(right.astype(float))
        prior = jax.nn.softmax(params.prior)
        metrics["effective_skills"] = jnp.exp(-jnp.sum(prior * jnp.log(prior + 1e-20)))
    return metrics, reward[:, -1]
