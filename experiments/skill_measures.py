"""What skills do: episodes of many skills on many tasks by one compiled program, and their numbers.

Axes beside the library's: K skills (in place of episodes), M episodes, P points that may move.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from explorax.algos.diayn import SkillLearner, SkillParams
from explorax.parallel import everywhere, over_tasks, replicate
from explorax.rollout import returns_and_success
from explorax.types import PyTree, Task

NUM_DRAWN = 16
"""Skills of a continuous space that are measured, drawn once from its prior."""

DRAWN = 0x5C11
"""Stream that they are drawn from."""


class Played(NamedTuple):
    """How M episodes went."""

    obs: Float[Array, "M T O"]
    episode_return: Float[Array, " M"]
    success: Float[Array, " M"]
    information: Float[Array, "M T"]  # log q(z | f(s)) - log p(z), nats
    correct: Bool[Array, "M T"]  # q's likeliest skill is the one that acts; numbered skills only


Program = Callable[[SkillParams, Task, Float[Array, "M C"], PRNGKeyArray], Played]


def codes_of(learner: SkillLearner, params: SkillParams, numbered: bool) -> Float[Array, "K C"]:
    """All numbered skills, or some of a continuous space that are always the same."""
    if numbered:
        return jnp.arange(float(learner.skills.size))[:, None]
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), DRAWN), NUM_DRAWN)
    return jax.vmap(learner.skills.sample, in_axes=(0, None))(keys, params.prior)


def compile_episodes(learner: SkillLearner, mesh: Mesh) -> Program:
    """``(params, tasks, codes, keys) -> Played``, an episode for each task, code and key."""

    def local(params, tasks, codes, keys):
        with jax.default_matmul_precision("highest"):
            return play(learner, params, tasks, codes, keys)

    sharded = over_tasks(local, mesh, (False, True, True, True), out_tasks=True)
    return jax.jit(sharded, out_shardings=everywhere(mesh))


def play(
    learner: SkillLearner,
    params: SkillParams,
    tasks: Task,
    codes: Float[Array, "M C"],
    keys: PRNGKeyArray,
) -> Played:
    """An episode for each of M tasks, skills and keys."""
    skills = learner.skills
    trajectory = learner.unroll(params, tasks, skills.embed(codes), keys)
    outputs, codes = learner.infer(params, trajectory.obs), codes[:, None]
    information = skills.log_posterior(outputs, codes) - skills.log_prior(params.prior, codes)
    correct = jnp.argmax(outputs, axis=-1) == codes[..., 0].astype(jnp.int32)
    return Played(trajectory.obs, *returns_and_success(trajectory), information, correct)


class Player(NamedTuple):
    """A program with all that stays the same between its calls."""

    program: Program
    mesh: Mesh
    params: SkillParams
    codes: Float[np.ndarray, "K C"]
    num_episodes: int  # of a call

    def __call__(
        self,
        tasks: Task,
        skill: Int[np.ndarray, " M"],
        task: Int[np.ndarray, " M"],
        key: PRNGKeyArray,
        keep: Callable[[Played], PyTree],
    ) -> PyTree:
        """Episodes of any number M, in calls of equal size; the last one's rest is cut off.

        Args:
          tasks: leading axis N.
          skill: which skill acts in each episode.
          task: on which task.
          key: consumed.
          keep: what of a call's episodes is kept, leading axis as it came.
        """
        count, size = len(skill), self.num_episodes
        padded = -(-count // size) * size
        index = np.arange(padded) % count
        keys, tasks = jax.random.split(key, padded), jax.device_get(tasks)
        kept = []
        for start in range(0, padded, size):
            here = index[start : start + size]
            of_task = jax.tree.map(lambda x: x[task[here]], tasks)  # noqa: B023
            given = (of_task, self.codes[skill[here]], keys[start : start + size])
            played = self.program(self.params, *replicate(given, self.mesh))
            kept.append(keep(jax.device_get(played)))
        return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *kept)


class Trials(NamedTuple):
    """One episode of each of K skills on each of N tasks."""

    ends: Float[np.ndarray, "K N 2 O"]  # first and last observation
    episode_return: Float[np.ndarray, "K N"]
    success: Float[np.ndarray, "K N"]
    information: Float[np.ndarray, "K N"]  # at the last step, nats
    accuracy: Float[np.ndarray, "K N"]  # share of time steps at which q names the skill
    correct_last: Bool[np.ndarray, "K N"]  # whether it does at the last


def _summary(played: Played) -> Trials:
    """What is kept of M episodes."""
    obs, episode_return, success, information, correct = map(np.asarray, played)
    return Trials(
        ends=obs[:, [0, -1]],
        episode_return=episode_return,
        success=success,
        information=information[:, -1],
        accuracy=correct.mean(axis=-1),
        correct_last=correct[:, -1],
    )


def try_all(player: Player, tasks: Task, num_tasks: int, key: PRNGKeyArray) -> Trials:
    """Every skill once on every task."""
    num_skills = len(player.codes)
    skill, task = np.divmod(np.arange(num_skills * num_tasks), num_tasks)
    trials = player(tasks, skill, task, key, _summary)
    return jax.tree.map(lambda x: x.reshape(num_skills, num_tasks, *x.shape[1:]), trials)


def score(
    player: Player, tasks: Task, skill: Int[np.ndarray, " N"], num_episodes: int, key: PRNGKeyArray
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Mean return and success of a skill for each task over fresh episodes."""
    task = np.repeat(np.arange(len(skill)), num_episodes)
    keep: Callable[[Played], PyTree] = lambda p: (p.episode_return, p.success)  # noqa: E731
    scores = player(tasks, skill[task], task, key, keep)
    return tuple(x.reshape(-1, num_episodes).mean(axis=1) for x in scores)


def watch(player: Player, tasks: Task, num_episodes: int, key: PRNGKeyArray) -> np.ndarray:
    """Observations of a few episodes of every skill on the first task, (K, E, T, O)."""
    num_skills = len(player.codes)
    skill = np.repeat(np.arange(num_skills), num_episodes)
    obs = player(tasks, skill, np.zeros_like(skill), key, lambda played: played.obs)
    return obs.reshape(num_skills, num_episodes, *obs.shape[1:])


def best_on_average(episode_return: Float[np.ndarray, "K N"]) -> int:
    """The skill of the highest mean return; the first of several."""
    return int(np.argmax(episode_return.mean(axis=1)))


def best_per_task(episode_return: Float[np.ndarray, "K N"]) -> Int[np.ndarray, " N"]:
    """For each task the skill of the highest return; the first of several."""
    return np.argmax(episode_return, axis=0)


def distinct_skills(
    information: Float[np.ndarray, "K N"], weight: Float[np.ndarray, " K"]
) -> float:
    """exp of the mean of log q(z | f(s)) - log p(z), skills weighted by p(z): at most K."""
    return float(np.exp(np.average(information.mean(axis=1), weights=weight)))


def points_of(features: Mapping[str, tuple[int, ...]]) -> Int[np.ndarray, "P 2"]:
    """Indices in an observation of the x and y (m) of what skills move: all blocks, or the body.

    Args:
      features: parts of the observation, as the environment names them.
    """
    return np.array(features.get("blocks") or features["position"]).reshape(-1, 2)


def displacement(
    ends: Float[np.ndarray, "K N 2 O"], points: Int[np.ndarray, "P 2"]
) -> Float[np.ndarray, "K P"]:
    """Distance (m) of each point from the first observation to the last, mean over tasks."""
    first, last = ends[:, :, 0][..., points], ends[:, :, 1][..., points]
    return np.linalg.norm(last - first, axis=-1).mean(axis=1)
