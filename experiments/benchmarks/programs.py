"""The programs that are timed, made of a preset's own config as ``make train`` makes them."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from benchmarks.cases import Case, config_of, has_parts, metatest_of
from benchmarks.flops import policy_flops
from config import Config, RunConfig
from errors import UsageError
from explorax.meta_update import MetaLearner, MetaState, sample_stages
from explorax.nets import Policy
from explorax.parallel import everywhere, over_tasks, replicate, task_mesh
from explorax.rollout import TaskParams, rollout, task_axes
from explorax.train import compile_chunk
from explorax.types import Env, Gaussian, PyTree, Task
from held_out import held_out_tasks
from learners import Setup, first_state, set_up
from metatest_program import metatest_keys, metatest_program
from runtime import make_env


class Timed(NamedTuple):
    """A program, and how to call it again and again."""

    fun: Any  # what jax.jit returns
    args: tuple
    steps: int  # environment steps per call
    num_devices: int
    policy_flops: int | None = None  # per call, see benchmarks.flops
    next_args: Callable[[tuple, Any], tuple] = lambda args, _: args
    """arguments and output of a call -> arguments of the next one"""


def build(case: Case) -> Timed:
    """The program of a case.

    Raises:
      UsageError: the preset has no such program.
    """
    config = config_of(case)
    if case.program == "update":
        return counted(case, config, whole_update(config))
    if not isinstance(config, Config):
        raise UsageError(f"presets: {case.preset} has no program '{case.program}'")
    if case.program == "metatest":
        return whole_metatest(case, config)
    if not has_parts(config):
        raise UsageError(
            f"preset: parts of an update are not timed of '{case.preset}', which has a memory or "
            "skills"
        )
    return counted(case, config, part_of_update(case, config))


def counted(case: Case, config: RunConfig, timed: Timed) -> Timed:
    """With the FLOPs of the policy's network, where they can be counted."""
    if not isinstance(config, Config) or config.hierarchy.skills != "none":
        return timed
    env = make_env(config.env)
    sizes = env.observation_size, env.action_size, env.horizon
    flops = policy_flops(config.meta, *sizes, case.program)
    return timed._replace(policy_flops=flops and config.num_seeds * flops)


def whole_update(config: RunConfig) -> Timed:
    """One update by the program that ``train.fit`` calls, its state handed on to the next call."""
    setup = set_up(config)
    chunk = compile_chunk(setup.learner, config.train.chunk_size)
    state = replicate(first_state(config, setup), setup.mesh)
    one = replicate(np.int32(1), setup.mesh)
    steps = config.num_seeds * setup.learner.steps_per_update
    go_on = lambda args, out: (out[0], args[1])  # noqa: E731
    return Timed(chunk, (state, one), steps, setup.mesh.size, next_args=go_on)


def whole_metatest(case: Case, config: Config) -> Timed:
    """Adaptation to held-out tasks, sampling and all, by the program that ``make train`` runs."""
    test, env = metatest_of(case), make_env(config.env, reward="sparse")
    mesh = task_mesh(test.num_tasks, config.train.devices or None)
    program = jax.jit(metatest_program(config, env, mesh, test), out_shardings=everywhere(mesh))
    params = jax.device_get(first_state(config, set_up(config)).params)
    tasks = jax.device_get(held_out_tasks(env, test.num_tasks))
    given = replicate((params, tasks, metatest_keys(config)), mesh)
    episodes = test.num_tasks * test.num_episodes * (test.num_iterations + 1)
    return Timed(program, given, config.num_seeds * episodes * env.horizon, mesh.size)


def part_of_update(case: Case, config: Config) -> Timed:
    """The sampling of one update, or a part of it. Every output is used, by a sum."""
    setup = set_up(config)
    env, mesh = make_env(config.env), setup.mesh
    state = replicate(first_state(config, setup), mesh)
    parts = {"physics": physics, "acting": acting, "rollout": acting, "stages": stages}
    policy = policy_without_network(env) if case.program == "acting" else learned_policy(setup)
    part = partial(parts[case.program], env, policy, config)

    def summed(*args):  # one number a task and device, so that no output has to be gathered
        with jax.default_matmul_precision("highest"):
            return jax.tree.map(lambda x: jnp.sum(x)[None], part(*args))

    index = jnp.arange(config.meta.meta_batch_size) % config.meta.num_train_tasks
    keys = jax.random.split(jax.random.key(1), config.meta.meta_batch_size)
    sharded = over_tasks(summed, mesh, (False, True, True), out_tasks=True)
    steps = setup.learner.steps_per_update
    return Timed(jax.jit(sharded), (state, index, keys), steps, mesh.size)


def learned_policy(setup: Setup) -> Policy:
    """The policy of a meta-learner."""
    assert isinstance(setup.learner, MetaLearner)
    return setup.learner.policy


def policy_without_network(env: Env) -> Policy:
    """Acts by its noise alone, so that nothing but the network is left out of a rollout."""

    def apply(_: PyTree, obs: Array, latent: Array) -> Gaussian:
        # The zeros depend on what a network would see: nothing can be left out for a constant.
        nothing = 0.0 * (jnp.sum(obs, axis=-1) + jnp.sum(latent, axis=-1))
        mean = jnp.broadcast_to(nothing[..., None], (*obs.shape[:-1], env.action_size))
        return Gaussian(mean, jnp.zeros_like(mean))

    return Policy(lambda _: (), apply)


def of_tasks(tree: PyTree, index: Array) -> PyTree:
    """The rows of the tasks that were drawn."""
    return jax.tree.map(lambda x: x[index], tree)


def stages(
    env: Env, policy: Policy, config: Config, state: MetaState, index: Array, keys: PRNGKeyArray
) -> PyTree:
    """All stages of an update, with the inner steps between them."""
    return sample_stages(env, policy, config.meta, state.params, index, state.tasks, keys)


def acting(
    env: Env, policy: Policy, config: Config, state: MetaState, index: Array, keys: PRNGKeyArray
) -> PyTree:
    """The rollouts of all stages, with the parameters of the first one."""
    params = TaskParams(of_tasks(state.params.latent, index), state.params.policy)
    axes = task_axes("latents")  # theta is one for all, as before an inner step
    tasks = of_tasks(state.tasks, index)
    return over_stages(
        lambda episodes: rollout(env, policy, params, axes, tasks, episodes), config, keys
    )


def physics(
    env: Env, _: Policy, config: Config, state: MetaState, index: Array, keys: PRNGKeyArray
) -> PyTree:
    """The environment's steps of all stages, with random actions that are held for an episode."""
    tasks = jax.tree.map(
        lambda x: jnp.repeat(x, config.meta.num_episodes, axis=0), of_tasks(state.tasks, index)
    )

    def begin(task: Task, key: PRNGKeyArray) -> tuple[PyTree, Array]:
        return env.pack(env.reset(key, task)), jax.random.normal(key, (env.action_size,))

    def step_one(packed: PyTree, task: Task, action: Array) -> PyTree:
        after = env.step(env.unpack(packed, task), action)
        return env.pack(after), after.reward

    def episodes(keys: PRNGKeyArray) -> PyTree:
        first, actions = jax.vmap(begin)(tasks, keys.reshape(-1))

        def step(carry, _):
            packed, earned = carry
            packed, reward = jax.vmap(step_one)(packed, tasks, actions)
            return (packed, earned + reward), ()

        return jax.lax.scan(step, (first, jnp.zeros(len(actions))), length=env.horizon)[0]

    return over_stages(episodes, config, keys)


def over_stages(
    one_stage: Callable[[PRNGKeyArray], PyTree], config: Config, keys: PRNGKeyArray
) -> PyTree:
    """What a function of the episodes' keys (N, K) gives at every stage."""
    shape = (config.meta.num_inner_steps + 1, config.meta.num_episodes)
    split = jax.vmap(lambda key: jax.random.split(key, shape), out_axes=1)(keys)
    return jax.lax.scan(lambda _, stage_keys: ((), one_stage(stage_keys)), (), split)[1]
