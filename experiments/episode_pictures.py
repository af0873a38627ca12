"""Pictures of what a run does: an adapted episode, and how it explores."""

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from config import Config, EnvConfig
from explorax.adapt import Batch
from explorax.meta_update import MetaLearner
from explorax.parallel import one_device
from explorax.rollout import returns_and_success
from explorax.types import Env, PyTree, Task, Trajectory
from learners import meta_learner
from runtime import import_envs, make_env

EPISODES = 0x9A9E
"""Stream of the drawn episodes; nothing else folds it into a key."""

NUM_TASKS = 4
NUM_EPISODES = 20
STAGES = (0, 1, 5)
"""Meta-test iterations whose episodes are drawn side by side."""


class Recorded(NamedTuple):
    """Episodes at all stages of adaptation."""

    obs: Float[Array, "S N K T O"]
    episode_return: Float[Array, "S N K"]
    success: Float[Array, "S N K"]


def is_drawn(config: EnvConfig) -> bool:
    """Whether there are pictures of the environment's episodes."""
    return hasattr(getattr(import_envs(), config.name, None), "render_paths")


def draw_episodes(config: Config, params: PyTree, tasks: Task, out: Path) -> list[Path]:
    """Writes exploration.png, episode.gif and episode.png.

    Of the first few tasks it shows the one that adapted best: the paths of all its episodes at
    each of the STAGES, and of its adapted episodes the one with the highest return.

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
    learner = meta_learner(config, env, one_device())
    tasks = jax.tree.map(lambda x: np.asarray(x)[:NUM_TASKS], tasks)
    recorded = record(env, learner, jax.device_get(params), tasks)
    recorded = recorded._replace(episode_return=np.nan_to_num(recorded.episode_return, nan=-np.inf))
    by_task = recorded.success[-1].mean(axis=-1) + 1e-6 * recorded.episode_return[-1].mean(axis=-1)
    n = int(np.argmax(by_task))
    k = int(np.argmax(recorded.episode_return[-1, n]))
    if not np.isfinite(recorded.obs[:, n]).all():  # every adaptation diverged
        return []
    task = jax.tree.map(lambda x: x[n], tasks)
    share = f"{recorded.success[-1, n].mean():.0%} of {NUM_EPISODES} episodes succeed"
    score = f"best episode, return {recorded.episode_return[-1, n, k]:.0f}"
    paths = [out / "exploration.png", out / "episode.gif", out / "episode.png"]
    shown = at_stages(recorded, n)
    suite.render_paths(
        shown.obs[None],
        task,
        paths[0],
        names=captions(config, shown),
        title=f"held-out task: {NUM_EPISODES} episodes at each stage of adaptation",
    )
    title = f"held-out task {stage_name(config, STAGES[-1])}: {score}\n{share}"
    shape = {"block_shape": config.env.block_shape} if config.env.name == "push" else {}
    for path in paths[1:]:
        suite.render(recorded.obs[-1, n, k], path, task, title=title, **shape)
    return paths


def at_stages(recorded: Recorded, n: int) -> Recorded:
    """Task ``n`` at the STAGES: leading axes C, K."""
    return jax.tree.map(lambda x: x[list(STAGES), n], recorded)


def captions(config: Config, shown: Recorded) -> list[str]:
    """Captions of the panels of ``at_stages``: stage, mean return, share of successes."""
    means = (shown.episode_return.mean(axis=-1), shown.success.mean(axis=-1))
    return [
        f"{stage_name(config, stage)}\nreturn {mean:.0f}, {share:.0%} of episodes succeed"
        for stage, mean, share in zip(STAGES, *means, strict=True)
    ]


def stage_name(config: Config, stage: int) -> str:
    """What a meta-test iteration comes after, in the words of the method."""
    if stage == 0:
        return "before adaptation"
    plural = "" if stage == 1 else "s"
    if config.meta.memory_size > 0:
        return f"after {stage} episode{plural} remembered"
    if config.meta.test_optimizer == "sgd":
        return f"after {stage} inner step{plural}"
    return f"after {stage} outer step{plural} on it alone"


def record(env: Env, learner: MetaLearner, params: PyTree, tasks: Task) -> Recorded:
    """Adapts to a few tasks and keeps what was observed, at every control step."""
    num_tasks = jax.tree.leaves(tasks)[0].shape[0]
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), EPISODES), num_tasks)

    def keep(batch: Batch) -> Trajectory:
        return batch.trajectory

    @jax.jit
    def program(params, tasks, keys):
        played = learner.adapt(env, params, STAGES[-1], NUM_EPISODES, tasks, keys, keep)
        obs = learner.watch(env, params, tasks, keys, played)
        return Recorded(obs, *returns_and_success(played))

    return jax.device_get(program(params, tasks, keys))
