"""One meta-update: draw tasks, roll out, adapt, roll out, outer step. One XLA program.

Every method of ``explorax.algos`` but diayn is this program with other settings.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray

from explorax.adapt import Appraisal, Batch, StepSizes, for_each, unroll
from explorax.alone import learn_alone
from explorax.config import MetaConfig
from explorax.metrics import all_finite, parameter_metrics, sampling_metrics
from explorax.nets import Policy, gaussian_mlp_policy, recurrent_policy
from explorax.optimizers import OuterState, init_outer, outer_step
from explorax.outer import MetaParams
from explorax.parallel import mean_over_devices, over_tasks
from explorax.rollout import TaskParams
from explorax.trials import continue_trials, sample_trials, trial_step
from explorax.types import Env, Gaussian, Metrics, PyTree, Task, Trajectory
from explorax.varied import with_values


class MetaState(NamedTuple):
    """All that a run carries from one meta-update to the next."""

    params: MetaParams
    outer: OuterState  # the outer optimiser's
    tasks: Task  # the training tasks, leading axis N
    key: PRNGKeyArray  # never changes: streams come from (key, iteration)
    iteration: Int[Array, ""]  # meta-updates done


class InitStreams(NamedTuple):
    """The random streams of ``init``."""

    policy: PRNGKeyArray
    latents: PRNGKeyArray
    tasks: PRNGKeyArray
    updates: PRNGKeyArray


class UpdateStreams(NamedTuple):
    """The random streams of one meta-update."""

    tasks: PRNGKeyArray
    rollouts: PRNGKeyArray


class AdaptFunction(Protocol):
    """Adapts to N new tasks, each from the same start."""

    def __call__(
        self,
        env: Env,
        params: Any,
        num_iterations: int,
        num_episodes: int,
        tasks: Task,
        keys: PRNGKeyArray,
        emit: Callable[[Batch], PyTree],
    ) -> PyTree:
        """Rolls out and adapts ``num_iterations`` times, then rolls out once more.

        Args:
          env: the environment with the reward of the test (sparse).
          params: what meta-training learned.
          num_iterations: inner steps; S = num_iterations + 1.
          num_episodes: episodes K per task and iteration.
          tasks: leading axis N.
          keys: typed keys (N,), consumed.
          emit: what to keep of a task's batch at an iteration.

        Returns:
          ``emit`` of every batch, leading axes (S, N).
        """
        ...


class Method(NamedTuple):
    """The two parts in which methods differ within one meta-update."""

    sample: Callable[..., Batch]
    """(env, policy, config, params, task_index, tasks, keys) -> Batch, leading axes (S, N)"""
    improve: Callable[..., tuple[PyTree, PyTree, Metrics]]
    """the outer step, as ``optimizers.outer_step``"""
    adapt: Callable[..., PyTree]
    """(policy, config, ...) -> as ``AdaptFunction``"""


def watch_steps(
    env: Env, params: MetaParams, tasks: Task, keys: PRNGKeyArray, trajectory: Trajectory
) -> Float[Array, "S N K T O"]:
    """The observations of all control steps: those that the policy acted on."""
    del env, params, tasks, keys
    return trajectory.obs


class MetaLearner(NamedTuple):
    """A method as pure functions."""

    init: Callable[..., Any]
    """seed key -> first state"""
    update: Callable[[Any], tuple[Any, Metrics]]
    """one meta-update; scalars out"""
    adapt: AdaptFunction
    """adaptation to new tasks, in the way of the method"""
    policy: Policy
    steps_per_update: int
    """environment steps that one update takes"""
    watch: Callable[..., Float[Array, "S N K T O"]] = watch_steps
    """(env, params, tasks, keys, trajectory) of an ``adapt`` -> what its episodes looked like"""


def build(
    env: Env,
    config: MetaConfig,
    mesh: Mesh,
    policy: Policy | None = None,
    method: Method | None = None,
) -> MetaLearner:
    """The meta-learner that ``config`` describes, its tasks spread over ``mesh``.

    Args:
      env: static environment.
      config: the method.
      mesh: from ``task_mesh``.
      policy: in place of the one that ``config`` describes.
      method: the same.
    """
    policy, method = policy or policy_of(env, config), method or method_of(config)
    return MetaLearner(
        init=lambda key: init_state(env, policy, config, key),
        update=lambda state: meta_update(env, policy, config, method, mesh, state),
        adapt=partial(method.adapt, policy, config),
        policy=policy,
        steps_per_update=config.steps_per_update(env.horizon),
    )


def policy_of(env: Env, config: MetaConfig) -> Policy:
    """The policy that ``config`` describes, with a latent or a memory."""
    sizes = env.observation_size, env.action_size
    if config.memory_size > 0:
        make, context = recurrent_policy, config.memory_size
    else:
        make, context = gaussian_mlp_policy, config.latent_dim
    return make(*sizes, context, config.hidden_sizes, config.init_action_std)


def method_of(config: MetaConfig) -> Method:
    """How ``config`` samples, improves, and adapts to new tasks."""
    if config.memory_size > 0:
        return Method(sample_trials, trial_step, continue_trials)
    adapt = adapt_from_prior if config.test_optimizer == "sgd" else learn_alone
    return Method(sample_stages, outer_step, adapt)


def init_state(env: Env, policy: Policy, config: MetaConfig, key: PRNGKeyArray) -> MetaState:
    """Random theta, mu_i ~ N(0, init_latent_std^2), sigma_i = 1, alpha as configured."""
    streams = InitStreams(*jax.random.split(key, len(InitStreams._fields)))
    shape = (config.num_train_tasks, config.latent_dim)
    latent = Gaussian(
        mean=config.init_latent_std * jax.random.normal(streams.latents, shape),
        log_std=jnp.zeros(shape),
    )
    params = MetaParams(policy.init(streams.policy), latent, initial_step_sizes(config))
    tasks = env.sample_tasks(streams.tasks, config.num_train_tasks)
    return MetaState(
        params, init_outer(config, params), tasks, streams.updates, jnp.zeros((), jnp.int32)
    )


def initial_step_sizes(config: MetaConfig) -> StepSizes:
    """alpha before learning (dtypes are given: a weak one would compile the second call anew)."""
    mean = jnp.full(config.latent_dim, config.inner_lr_mean, dtype=float)
    log_std = jnp.full(config.latent_dim, config.inner_lr_log_std, dtype=float)
    params = jnp.full((), config.inner_lr_params, dtype=float)
    return StepSizes(Gaussian(mean, log_std), params)


def meta_test_start(config: MetaConfig, meta: MetaParams) -> tuple[TaskParams, StepSizes]:
    """A new task starts from the prior N(0, I) and the learned theta and alpha.

    A method that never took an inner step has learned no alpha: its latents move by 1.
    """
    zeros = jnp.zeros(config.latent_dim)
    params = TaskParams(Gaussian(zeros, zeros), meta.policy)
    if config.num_inner_steps == 0:
        ones = jnp.ones(config.latent_dim)
        return params, meta.step_sizes._replace(latent=Gaussian(ones, ones))
    return params, meta.step_sizes


def meta_test_step_sizes(step_sizes: StepSizes, num_iterations: int) -> StepSizes:
    """alpha of every meta-test iteration, leading axis S = num_iterations + 1.

    For latents alpha times 1, 1, 1/2, 1/4, ...: it is halved after every iteration from the second
    on (MAESN's code). For theta 1, 1/2, 1/2, ... (MAML: Finn 2017, appendix A.2).
    """
    iteration = jnp.arange(num_iterations + 1.0)
    of_latent = 0.5 ** jnp.maximum(iteration - 1.0, 0.0)
    of_policy = jnp.where(iteration < 1.0, 1.0, 0.5)
    latent = jax.tree.map(lambda a: of_latent[:, None] * a, step_sizes.latent)
    return StepSizes(latent, of_policy * step_sizes.policy)


def adapt_from_prior(
    policy: Policy,
    config: MetaConfig,
    env: Env,
    params: MetaParams,
    num_iterations: int,
    num_episodes: int,
    tasks: Task,
    keys: PRNGKeyArray,
    emit: Callable[[Batch], PyTree],
    appraisal: Appraisal | None = None,
) -> PyTree:
    """``AdaptFunction`` of the methods that take gradient steps on a task's own parameters."""
    config = with_values(config, {"num_episodes": num_episodes})
    start, step_sizes = meta_test_start(config, params)
    start = start._replace(latent=for_each(start.latent, len(keys)))
    step_sizes = meta_test_step_sizes(step_sizes, num_iterations)
    with jax.default_matmul_precision("highest"):
        return unroll(env, policy, config, start, step_sizes, tasks, keys, emit, appraisal)


def sample_stages(
    env: Env,
    policy: Policy,
    config: MetaConfig,
    meta: MetaParams,
    task_index: Int[Array, " N"],
    tasks: Task,
    keys: PRNGKeyArray,
    appraisal: Appraisal | None = None,
) -> Batch:
    """All stages of the drawn tasks: Batch with leading axes (S, N)."""
    pick = lambda tree: jax.tree.map(lambda x: x[task_index], tree)  # noqa: E731
    params = TaskParams(pick(meta.latent), meta.policy)
    step_sizes = for_each(meta.step_sizes, config.num_inner_steps + 1)
    return unroll(
        env, policy, config, params, step_sizes, pick(tasks), keys, lambda batch: batch, appraisal
    )


def meta_update(
    env: Env, policy: Policy, config: MetaConfig, method: Method, mesh: Mesh, state: MetaState
) -> tuple[MetaState, Metrics]:
    """One meta-iteration on ``config.meta_batch_size`` tasks drawn with replacement."""
    key = jax.random.fold_in(state.key, state.iteration)
    streams = UpdateStreams(*jax.random.split(key, len(UpdateStreams._fields)))
    task_index = jax.random.randint(
        streams.tasks, (config.meta_batch_size,), 0, config.num_train_tasks
    )
    keys = jax.random.split(streams.rollouts, config.meta_batch_size)

    def local(meta, outer, tasks, task_index, keys):
        # float32 throughout: an accelerator's faster products would spoil physics and baseline
        with jax.default_matmul_precision("highest"):
            return sample_and_step(meta, outer, tasks, task_index, keys)

    def sample_and_step(meta, outer, tasks, task_index, keys):
        batch = method.sample(env, policy, config, meta, task_index, tasks, keys)
        sampled = mean_over_devices(sampling_metrics(batch))
        meta, outer, improved = method.improve(
            policy, config, meta, outer, task_index, batch, mean_over_devices
        )
        return meta, outer, sampled | improved

    sharded = over_tasks(local, mesh, (False, False, False, True, True), out_tasks=False)
    params, outer, metrics = sharded(state.params, state.outer, state.tasks, task_index, keys)
    metrics |= parameter_metrics(config, params)
    learned_and_sampled = (params, outer, metrics["return_pre"], metrics["return_post"])
    metrics["finite"] = all_finite(learned_and_sampled).astype(jnp.float32)
    iteration = state.iteration + 1
    return MetaState(params, outer, state.tasks, state.key, iteration), metrics
