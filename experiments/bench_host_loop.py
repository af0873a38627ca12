"""A whole MAESN update on Push as the older meta-RL code bases make it: a loop on the host.

A list of environments is stepped one by one in MuJoCo C; PyTorch acts for all of them at once at
every step and learns afterwards. Tasks, batch, network and outer step (ppo) are those of the
preset. With more than one worker the tasks are shared among processes, as such code bases do at
their fastest.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import bench_host_env as host
import bench_host_learner as learner
from bench_cases import Case, config_of
from bench_host_env import HostTasks
from bench_host_learner import Batch, Episodes, Gaussian, Learned, Theta, torch
from bench_timing import Figures, spread_of
from config import Config
from errors import UsageError
from explorax.config import MetaConfig
from explorax_envs.push import Push, sample_tasks

WARM_UP = 2
"""Tasks and episodes of the update before the timed one."""

Map = Callable[[Callable[..., Any], Iterable[Any]], Iterable[Any]]


class Share(NamedTuple):
    """What a process needs to sample the episodes of some tasks."""

    theta: Theta  # numpy arrays
    latent: Gaussian  # numpy arrays (N, L)
    tasks: HostTasks  # leading axis N
    seed: int
    batched: bool  # see bench_host_env


def time_host_loop(case: Case) -> Figures:
    """Seconds of a whole update, and of its sampling and its learning.

    Raises:
      UsageError: the preset is not one that this file can learn.
    """
    config = checked(case)
    torch.set_num_threads(case.threads)
    meta, env = config.meta, config.env
    learned = learner.initial(meta, *host.sizes(env.block_shape), config.seed)
    adam = torch.optim.Adam(learned.leaves(), lr=meta.ppo.learning_rate)
    workers: Any = nullcontext()
    if case.workers > 1:
        context = multiprocessing.get_context("spawn")
        workers = ProcessPoolExecutor(
            case.workers, context, initializer=torch.set_num_threads, initargs=(1,)
        )
    with workers as pool:
        share: Map = map if pool is None else pool.map
        rng, tasks = np.random.default_rng(config.seed), training_tasks(meta)
        update = partial(whole_update, meta, case, env.block_shape, learned, adam, rng, share)
        update(tasks, num_tasks=max(WARM_UP, case.workers), num_episodes=WARM_UP)
        seconds = [update(tasks) for _ in range(case.repeats)]
    steps = meta.steps_per_update(Push.horizon)
    wholes = [sum(parts) for parts in seconds]
    sampling, learning = seconds[wholes.index(sorted(wholes)[len(wholes) // 2])]
    parts = {"sampling_s": sampling, "learning_s": learning}
    return {"steps": steps, "threads": case.threads} | spread_of(wholes, steps) | parts


def checked(case: Case) -> Config:
    """The preset's config, which this file can learn.

    Raises:
      UsageError: it cannot.
    """
    config = config_of(case)
    fits = (
        isinstance(config, Config)
        and (config.env.name, config.env.reward) == ("push", "dense")
        and (config.meta.adapt, config.meta.num_inner_steps) == ("latents", 1)
        and (config.meta.optimizer, config.meta.estimator) == ("ppo", "loglik")
        and config.meta.gae_lambda == 1.0
        and config.hierarchy.skills == "none"
    )
    if not fits:
        raise UsageError(f"preset: the host loop knows MAESN on Push alone, not '{case.preset}'")
    assert isinstance(config, Config)
    return config


def training_tasks(meta: MetaConfig) -> HostTasks:
    """Training tasks, drawn as Push does; only this needs jax."""
    import jax

    tasks = sample_tasks(jax.random.key(0), -(-meta.num_train_tasks // 5))
    return HostTasks(*(np.asarray(x)[: meta.num_train_tasks] for x in tasks))


def whole_update(
    meta: MetaConfig,
    case: Case,
    block_shape: str,
    learned: Learned,
    adam: Any,
    rng: np.random.Generator,
    share: Map,
    tasks: HostTasks,
    num_tasks: int = 0,
    num_episodes: int = 0,
) -> tuple[float, float]:
    """One meta-update in place: seconds of sampling and of learning.

    Args:
      meta: the method.
      case: how episodes are sampled.
      block_shape: of the scene.
      learned: what is learned, moved by ``adam``.
      adam: its optimiser.
      rng: of tasks and episodes.
      share: ``map``, or that of a pool of processes.
      tasks: the training tasks.
      num_tasks: drawn, if not ``meta.meta_batch_size``.
      num_episodes: per task and stage, if not ``meta.num_episodes``.
    """
    start = time.perf_counter()
    index = rng.integers(len(tasks.block), size=num_tasks or meta.meta_batch_size)
    drawn = HostTasks(*(x[index] for x in tasks))
    run = partial(episodes_of, block_shape, num_episodes or meta.num_episodes)

    def sampled(latent: Gaussian) -> Episodes:
        theta = Theta(*(numpy_of(x) for x in learned.theta))
        rows = np.array_split(np.arange(len(index)), case.workers)
        parts = [
            Share(theta, cut(latent, row), cut(drawn, row), int(rng.integers(2**31)), case.batched)
            for row in rows
        ]
        return Episodes(*map(np.concatenate, zip(*share(run, parts), strict=True)))

    task_index = torch.as_tensor(index)
    first = sampled(Gaussian(*(numpy_of(x)[index] for x in learned.latent)))
    sampling = time.perf_counter() - start
    pre = learner.appraise(meta, first)
    adapted = Gaussian(*map(numpy_of, learner.adapt(learned, task_index, pre)))
    second_start = time.perf_counter()
    second = sampled(adapted)
    sampling += time.perf_counter() - second_start
    outer_step(meta, learned, adam, task_index, pre, learner.appraise(meta, second))
    return sampling, time.perf_counter() - start - sampling


def outer_step(
    meta: MetaConfig, learned: Learned, adam: Any, task_index: Any, pre: Batch, post: Batch
) -> None:
    """Full-batch Adam steps on the clipped surrogate."""
    for _ in range(meta.ppo.num_epochs):
        adam.zero_grad()
        learner.outer_loss(meta, learned, task_index, pre, post).backward()
        adam.step()


def episodes_of(block_shape: str, num_episodes: int, share: Share) -> Episodes:
    """Episodes of a share of the tasks: one call of the network for all of them, step by step."""
    num_tasks, rng = len(share.tasks.block), np.random.default_rng(share.seed)
    torch.manual_seed(share.seed)
    tasks = HostTasks(*(np.repeat(x, num_episodes, axis=0) for x in share.tasks))
    mean, log_std = (np.repeat(x, num_episodes, axis=0) for x in share.latent)
    noise = rng.standard_normal(mean.shape, np.float32)
    z = mean + np.exp(log_std) * noise
    envs = host.host_envs(block_shape, len(z))
    theta, latent = Theta(*(tensor_of(x) for x in share.theta)), torch.as_tensor(z)
    step = host.step_batched if share.batched else host.step_each
    obs, steps = host.reset(envs, tasks), []
    with torch.no_grad():
        for _ in range(Push.horizon):
            dist = learner.act(theta, torch.as_tensor(obs), latent)
            action = learner.sample(dist, torch.randn_like(dist.mean))
            log_prob = learner.log_prob(dist, action)
            after, reward, _ = step(envs, tasks, action.numpy())
            steps.append((obs, action.numpy(), log_prob.numpy(), reward))
            obs = after
    stacked = [np.stack(column, axis=1) for column in zip(*steps, strict=True)]
    columns = (*stacked, z, noise)
    return Episodes(*(x.reshape(num_tasks, num_episodes, *x.shape[1:]) for x in columns))


def cut(rows: Any, index: np.ndarray) -> Any:
    """Some rows of a NamedTuple's arrays."""
    return type(rows)(*(x[index] for x in rows))


def numpy_of(tensors: Any) -> Any:
    """A tensor, or a tuple of them, as numpy arrays."""
    if isinstance(tensors, tuple):
        return tuple(map(numpy_of, tensors))
    return tensors.detach().numpy()


def tensor_of(arrays: Any) -> Any:
    """The inverse of ``numpy_of``."""
    return tuple(map(tensor_of, arrays)) if isinstance(arrays, tuple) else torch.as_tensor(arrays)
