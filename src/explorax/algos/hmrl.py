"""Hierarchical meta-RL: skills found without a reward below, MAESN (or MAML) above.

DIAYN's skills are frozen. A controller pi_theta(k | s, z) chooses one every c steps, z ~ N(mu_i,
sigma_i) once per episode; its latents, or theta, adapt as in MAESN or MAML, from the reward of
whole options. Exploration is then stochastic (skills are max-entropy policies), task-agnostic
(skills) and task-based (latents) at once. If so configured, an option that reaches s' earns

    r + beta (log q(k | f(s')) - log p(k))

before adaptation, q and p the skills' own (Eysenbach et al. 2018, eq. 3), and r alone after it; on
a new task until one of its episodes has reached the goal.

Where to read it:
  skills                           diayn
  a skill acts for c steps         options.Options
  frozen, and in the state         HMRLParams
  pi_theta(k | s, z)               nets.controller_policy
  beta                             choice_reward, intrinsic.before_adaptation
  adaptation, outer step           as maesn, maml
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray

from explorax import meta_update
from explorax.adapt import Batch
from explorax.config import MetaConfig, OptionConfig, require
from explorax.intrinsic import (
    IntrinsicReward,
    before_adaptation,
    check_is_adapted,
    until_success,
)
from explorax.meta_update import MetaLearner, MetaState, Method, method_of
from explorax.nets import Policy, controller_policy
from explorax.optimizers import OuterState
from explorax.options import FrozenSkills, Options, SkillSet, replay
from explorax.outer import MetaParams
from explorax.returns import pad_rewards, reached_states
from explorax.rollout import stage_keys
from explorax.types import Env, Metrics, PyTree, Task, Trajectory
from explorax.varied import with_values

UNTRAINED = 0x51C1
"""Stream of untrained skills within a seed's key."""


class HMRLParams(NamedTuple):
    """What is learned, and the skills that it is learned for."""

    meta: MetaParams  # the controller's
    skills: FrozenSkills


class HMRLState(NamedTuple):
    """``MetaState``, its parameters beside the skills."""

    params: HMRLParams
    outer: OuterState
    tasks: Task
    key: PRNGKeyArray
    iteration: Int[Array, ""]


class _Parts(NamedTuple):
    """What the functions below work with."""

    skills: SkillSet
    options: OptionConfig
    config: MetaConfig  # its discount is per control step
    mesh: Mesh
    policy: Policy  # the controller's


def build(
    env: Env, skills: SkillSet, options: OptionConfig, config: MetaConfig, mesh: Mesh
) -> MetaLearner:
    """The meta-learner that ``config`` describes, as a controller of ``skills``.

    Its ``init`` takes the skills beside the key, or makes untrained ones; its states are
    HMRLStates, its parameters HMRLParams.

    Args:
      env: static environment.
      skills: frozen.
      options: how the controller uses them.
      config: the method; its discount is per control step.
      mesh: from ``task_mesh``.

    Raises:
      ValueError: the length of an option does not divide the horizon, or the method has a memory,
        or no inner step from episodes that are paid an intrinsic reward.
    """
    require(config.memory_size == 0, "meta.memory_size", "must be 0 for a controller of skills")
    if options.intrinsic_coef > 0:
        check_is_adapted(config, "when hierarchy.options.intrinsic_coef is positive")
    policy = controller_policy(
        env.observation_size,
        skills.size,
        Options(env, skills, None, options, config.discount).residual_size,
        config.latent_dim,
        config.hidden_sizes,
        options.init_residual_std,
    )
    parts = _Parts(skills, options, config, mesh, policy)
    return MetaLearner(
        init=partial(init_state, parts, env),
        update=partial(update, parts, env),
        adapt=partial(adapt, parts),
        policy=policy,
        steps_per_update=config.steps_per_update(env.horizon),
        watch=partial(watch, parts),
    )


def over_options(parts: _Parts, env: Env, theta: PyTree) -> Options:
    """``env`` as the controller acts in it, on skills with parameters ``theta``."""
    return Options(env, parts.skills, theta, parts.options, parts.config.discount)


def controller(parts: _Parts, env: Env, frozen: FrozenSkills) -> MetaLearner:
    """The method itself, in the environment of options."""
    config, beta = per_option(parts.config, parts.options), parts.options.intrinsic_coef
    method = method_of(config)
    if beta > 0:
        reward = partial(choice_reward, parts.skills, frozen)
        method = with_intrinsic_reward(method, reward, beta)
    options = over_options(parts, env, frozen.policy)
    return meta_update.build(options, config, parts.mesh, parts.policy, method)


def init_state(
    parts: _Parts, env: Env, key: PRNGKeyArray, frozen: FrozenSkills | None = None
) -> HMRLState:
    """The controller's first state, beside ``frozen`` or untrained skills."""
    if frozen is None:
        frozen = parts.skills.init(jax.random.fold_in(key, UNTRAINED))
    return with_skills(controller(parts, env, frozen).init(key), frozen)


def update(parts: _Parts, env: Env, state: HMRLState) -> tuple[HMRLState, Metrics]:
    """The controller's meta-update; the skills stay as they are."""
    meta, frozen = state.params
    after, metrics = controller(parts, env, frozen).update(MetaState(meta, *state[1:]))
    return with_skills(after, frozen), metrics


def adapt(parts: _Parts, env: Env, params: HMRLParams, *args: Any, **kwargs: Any) -> PyTree:
    """``AdaptFunction``: the controller's."""
    options = over_options(parts, env, params.skills.policy)
    return controller(parts, env, params.skills).adapt(options, params.meta, *args, **kwargs)


def watch(parts: _Parts, env: Env, params: HMRLParams, *args: Any) -> Float[Array, "S N K T O"]:
    """``MetaLearner.watch``: the options' control steps."""
    return replay_all(over_options(parts, env, params.skills.policy), *args)


def with_skills(state: MetaState, frozen: FrozenSkills) -> HMRLState:
    """``state`` of a controller, and its skills."""
    return HMRLState(HMRLParams(state.params, frozen), *state[1:])


def choice_reward(
    skills: SkillSet, frozen: FrozenSkills, trajectory: Trajectory
) -> Float[Array, "K T"]:
    """log q(k | f(s')) - log p(k), nats, of every option but an episode's last, which is paid 0."""
    state_reached, weight = reached_states(trajectory.obs, trajectory.alive)
    choice = trajectory.action[:, :-1, : skills.size]
    return pad_rewards(skills.intrinsic_reward(frozen, state_reached, choice), weight)


def with_intrinsic_reward(method: Method, reward: IntrinsicReward, beta: float) -> Method:
    """``method``, its inner steps from episodes that earn beta * ``reward`` besides."""
    coef = jnp.float32(beta)

    def sample(env: Env, policy: Policy, config: MetaConfig, *args: Any) -> Batch:
        return method.sample(
            env, policy, config, *args, appraisal=before_adaptation(reward, config, coef)
        )

    def adapt(policy: Policy, config: MetaConfig, *args: Any) -> PyTree:
        return method.adapt(policy, config, *args, appraisal=until_success(reward, config, coef))

    return method._replace(sample=sample, adapt=adapt)


def per_option(config: MetaConfig, options: OptionConfig) -> MetaConfig:
    """``config`` for steps that are options: the discount from one to the next is gamma^c.

    trpo's curvature is taken from as many of the control steps as before; lambda is per option.
    """
    stride = max(1, config.trpo.curvature_stride // options.length)
    discount = config.discount**options.length
    return with_values(config, {"discount": discount, "trpo.curvature_stride": stride})


def replay_all(
    options: Options, tasks: Task, keys: PRNGKeyArray, trajectory: Trajectory
) -> Float[Array, "S N K T O"]:
    """The observations of all control steps of adaptation's episodes, whose choices are known."""
    shape = trajectory.alive.shape[:3]
    by_stage = jax.vmap(lambda stage: stage_keys(keys, stage, shape[-1]))
    flat = lambda x: x.reshape(-1, *x.shape[3:])  # noqa: E731
    each = lambda x: jnp.broadcast_to(x[:, None], (*shape, *x.shape[1:]))  # noqa: E731
    episode_tasks = jax.tree.map(lambda x: flat(each(x)), tasks)
    episode_keys = flat(by_stage(jnp.arange(shape[0])))
    obs = jax.vmap(partial(replay, options))(episode_tasks, episode_keys, flat(trajectory.action))
    return obs.reshape(*shape, *obs.shape[1:])
