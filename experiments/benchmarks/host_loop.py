"""A whole MAESN update on Push as the older meta-RL code bases make it: a loop on the host.

A list of environments is stepped one by one in MuJoCo C; PyTorch acts for all of them at once at
every step and learns afterwards. Tasks, batch, network and outer step (trpo or ppo) are those of
the preset. With more than one worker the tasks are shared among processes, as such code bases do at
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

from benchmarks import host_env as host
from benchmarks import host_learner as learner
from benchmarks.cases import Case, config_of
from benchmarks.host_env import HostTasks
from benchmarks.host_learner import Batch, Episodes, Gaussian, Learned, Tensor, Theta, torch
from benchmarks.host_trust_region import trust_region_step
from benchmarks.timing import Figures, spread_of
from config import Config
from errors import UsageError
from explorax_envs.push import Push, sample_tasks

WARM_UP = 2
"""Tasks and episodes of the update before the timed one."""

Map = Callable[[Callable[..., Any], Iterable[Any]], Iterable[Any]]


class Share(NamedTuple):
    """What a process needs to sample the episodes of some tasks."""

    block_shape: str
    num_episodes: int
    batched: bool  # see host_env
    theta: Theta  # numpy arrays
    latent: Gaussian  # numpy arrays (N, L)
    tasks: HostTasks  # leading axis N
    seed: int


class HostLoop(NamedTuple):
    """All that updates need, and what they change in place."""

    config: Config
    case: Case
    map: Map  # that of Python, or of a pool of processes
    tasks: HostTasks  # the training tasks
    learned: Learned  # moved in place
    adam: Any  # ppo's
    rng: np.random.Generator


def time_host_loop(case: Case) -> Figures:
    """Seconds of a whole update, and of its sampling and its learning.

    Raises:
      UsageError: the preset is not one that this file can learn.
    """
    config = checked(case)
    torch.set_num_threads(case.threads)
    with pool_of(case.workers) as pool:
        loop = set_up(config, case, map if pool is None else pool.map)
        update(loop, num_tasks=max(WARM_UP, case.workers), num_episodes=WARM_UP)
        seconds = [update(loop) for _ in range(case.repeats)]
    steps = config.meta.steps_per_update(Push.horizon)
    figures = spread_of([sum(parts) for parts in seconds], steps)
    sampling, learning = next(p for p in seconds if sum(p) == figures["seconds"])
    return {"steps": steps, "sampling_s": sampling, "learning_s": learning} | figures


def pool_of(workers: int) -> Any:
    """A pool of processes with a thread each, or None for one worker; a context manager."""
    if workers == 1:
        return nullcontext()
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, torch.set_num_threads, (1,))


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
        and config.meta.optimizer in ("ppo", "trpo")
        and config.meta.estimator == "loglik"
        and config.meta.gae_lambda == 1.0
        and config.hierarchy.skills == "none"
    )
    if not fits:
        raise UsageError(f"preset: the host loop knows MAESN on Push alone, not '{case.preset}'")
    assert isinstance(config, Config)
    return config


def set_up(config: Config, case: Case, share: Map) -> HostLoop:
    """Training tasks as Push draws them (only this needs jax), and what is learned."""
    import jax

    meta = config.meta
    drawn = sample_tasks(jax.random.key(config.seed), -(-meta.num_train_tasks // 5))
    tasks = HostTasks(*(np.asarray(x)[: meta.num_train_tasks] for x in drawn))
    learned = learner.initial(meta, *host.sizes(config.env.block_shape), config.seed)
    adam = torch.optim.Adam(learned.leaves(), lr=meta.ppo.learning_rate)
    return HostLoop(config, case, share, tasks, learned, adam, np.random.default_rng(config.seed))


def update(loop: HostLoop, num_tasks: int = 0, num_episodes: int = 0) -> tuple[float, float]:
    """One meta-update in place: seconds of sampling and of learning.

    Args:
      loop: the rest.
      num_tasks: drawn, if not as many as the preset says.
      num_episodes: per task and stage, the same.
    """
    meta, learned = loop.config.meta, loop.learned
    index = loop.rng.integers(len(loop.tasks.block), size=num_tasks or meta.meta_batch_size)
    task_index, sample = torch.as_tensor(index), partial(sampled, loop, index, num_episodes)
    start = time.perf_counter()
    first = sample(Gaussian(*(numpy_of(x)[index] for x in learned.latent)))
    sampling = time.perf_counter() - start
    pre = learner.appraise(meta, first)
    adapted = Gaussian(*map(numpy_of, learner.adapt(learned, task_index, pre)))
    second_start = time.perf_counter()
    second = sample(adapted)
    sampling += time.perf_counter() - second_start
    post = learner.appraise(meta, second)
    if meta.optimizer == "trpo":
        trust_region_step(meta, learned, task_index, pre, post)
    else:
        ppo_steps(loop, task_index, pre, post)
    return sampling, time.perf_counter() - start - sampling


def ppo_steps(loop: HostLoop, task_index: Tensor, pre: Batch, post: Batch) -> None:
    """Steps of Adam on the clipped surrogate."""
    meta, learned = loop.config.meta, loop.learned
    for _ in range(meta.ppo.num_epochs):
        loop.adam.zero_grad()
        dist = learner.act_again(learned, task_index, pre, post)
        learner.outer_loss(meta, learned, task_index, dist, post).backward()
        loop.adam.step()


def sampled(loop: HostLoop, index: np.ndarray, num_episodes: int, latent: Gaussian) -> Episodes:
    """Episodes of the tasks that were drawn, which the workers share among them."""
    config, case = loop.config, loop.case
    about = config.env.block_shape, num_episodes or config.meta.num_episodes, case.batched
    theta = Theta(*(numpy_of(x) for x in loop.learned.theta))
    shares = [
        Share(*about, theta, cut(latent, rows), cut(loop.tasks, index[rows]), int(seed))
        for rows, seed in zip(
            np.array_split(np.arange(len(index)), case.workers),
            loop.rng.integers(2**31, size=case.workers),
            strict=True,
        )
    ]
    return Episodes(*map(np.concatenate, zip(*loop.map(episodes_of, shares), strict=True)))


def episodes_of(share: Share) -> Episodes:
    """Episodes of a share of the tasks: one call of the network for all of them, step by step."""
    num_tasks, num_episodes = len(share.tasks.block), share.num_episodes
    rng = np.random.default_rng(share.seed)
    torch.manual_seed(share.seed)
    tasks = HostTasks(*(np.repeat(x, num_episodes, axis=0) for x in share.tasks))
    mean, log_std = (np.repeat(x, num_episodes, axis=0) for x in share.latent)
    noise = rng.standard_normal(mean.shape, np.float32)
    z = mean + np.exp(log_std) * noise
    envs = host.host_envs(share.block_shape, len(z))
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
