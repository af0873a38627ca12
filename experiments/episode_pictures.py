"""Pictures of what a run does: an adapted episode, and how it explores."""

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from config import Config, EnvConfig
from explorax.adapt import Batch
from explorax.meta_update import MetaLearner
from explorax.parallel import task_mesh
from explorax.rollout import returns_and_success
from explorax.types import Env, PyTree, Task, Trajectory
from learners import meta_learner
from runtime import import_envs, make_env

EPISODES = 0x9A9E
"""Stream of the drawn episodes; nothing else folds it into a key."""

NUM_TASKS = 4
NUM_EPISODES = 20
NUM_ITERATIONS = 5


class Recorded(NamedTuple):
    """Episodes at all stages of adaptation."""

    obs: Float[Array, "S N K T O"]
    episode_return: Float[Array, "S N K"]
    success: Float[Array, "S N K"]


def is_drawn(config: EnvConfig) -> bool:
    """Whether there are pictures of the environment's episodes."""
    return hasattr(getattr(import_envs(), config.name), "render_paths")


def draw_episodes(config: Config, params: PyTree, tasks: Task, out: Path) -> list[Path]:
    """Writes exploration.png, episode.gif and episode.png.

    Of the first few tasks it shows the one that adapted best, and of its adapted episodes the
    one with the highest return; exploration is the same task's before any adaptation.

    Args:
      config: the run's.
      params: what meta-training learned.
      tasks: held-out tasks.
      out: directory to write into.

    Returns:
      The files; none where all adaptations diverged.
    """
    suite = getattr(import_envs(), config.env.name)
    env = make_env(config.env, reward="sparse")
    learner = meta_learner(config, env, task_mesh(1, 1))
    tasks = jax.tree.map(lambda x: np.asarray(x)[:NUM_TASKS], tasks)
    recorded = record(env, learner, jax.device_get(params), tasks)
    recorded = recorded._replace(episode_return=np.nan_to_num(recorded.episode_return, nan=-np.inf))
    by_task = recorded.success[-1].mean(axis=-1) + 1e-6 * recorded.episode_return[-1].mean(axis=-1)
    n = int(np.argmax(by_task))
    k = int(np.argmax(recorded.episode_return[-1, n]))
    if not np.isfinite(recorded.obs[:, n]).all():  # every adaptation diverged
        return []
    task = jax.tree.map(lambda x: x[n], tasks)
    score = f"return {recorded.episode_return[-1, n, k]:.0f}"
    share = f"{recorded.success[-1, n].mean():.0%} of {NUM_EPISODES} episodes succeed"
    learned = f"{NUM_ITERATIONS} {_iterations(config)}"
    title = f"held-out task, {learned}: best episode, {score}\n{share}"
    paths = [out / "exploration.png", out / "episode.gif", out / "episode.png"]
    suite.render_paths(
        recorded.obs[0, n], task, paths[0], title=f"{NUM_EPISODES} episodes before adaptation"
    )
    shape = {"block_shape": config.env.block_shape} if config.env.name == "push" else {}
    for path in paths[1:]:
        suite.render(recorded.obs[-1, n, k], path, task, title=title, **shape)
    return paths


def _iterations(config: Config) -> str:
    """What the meta-test iterations of a method are."""
    if config.meta.memory_size > 0:
        return "episodes remembered"
    return "inner steps" if config.meta.test_optimizer == "sgd" else "outer steps on it alone"


def record(env: Env, learner: MetaLearner, params: PyTree, tasks: Task) -> Recorded:
    """Adapts to a few tasks and keeps what was observed, at every control step."""
    num_tasks = jax.tree.leaves(tasks)[0].shape[0]
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), EPISODES), num_tasks)

    def keep(batch: Batch) -> Trajectory:
        return batch.trajectory

    @jax.jit
    def program(params, tasks, keys):
        played = learner.adapt(env, params, NUM_ITERATIONS, NUM_EPISODES, tasks, keys, keep)
        obs = learner.watch(env, params, tasks, keys, played)
        return Recorded(obs, *returns_and_success(played))

    return jax.device_get(program(params, tasks, keys))
