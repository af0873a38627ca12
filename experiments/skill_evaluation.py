"""The test of a run's skills: which episodes are played, and what is kept of them."""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.random import fold_in, split
from jax.sharding import Mesh
from jaxtyping import Float, Int, PRNGKeyArray

import skill_measures as measures
from config import SkillsRunConfig
from explorax.algos.diayn import SkillLearner, SkillParams
from explorax.parallel import replicate, task_mesh
from explorax.types import Task
from held_out import choice_tasks, do_nothing, held_out_tasks
from learners import skill_learner
from runtime import make_env
from skill_measures import Player, Program, Trials

EPISODES = 0x5E1F
"""Stream of the test's episodes; training folds nothing so large into a key."""

PER_CALL = 500
"""Episodes, at most, of a call of the compiled program."""

NUM_WATCHED = 4
"""Episodes of each skill for the pictures."""


class Streams(NamedTuple):
    """The random streams of one seed's episodes."""

    trials: PRNGKeyArray
    others: PRNGKeyArray
    best: PRNGKeyArray
    per_task: PRNGKeyArray
    watched: PRNGKeyArray


class SkillTest(NamedTuple):
    """What the test of every seed needs."""

    config: SkillsRunConfig
    numbered: bool  # the skills, or z from a continuous space
    learner: SkillLearner
    mesh: Mesh
    program: Program
    num_episodes: int  # of a call of the program
    held_out: Task
    others: Task  # on which the best skill is chosen
    points: Int[np.ndarray, "P 2"]  # see measures.points_of
    idle: tuple[float, float]  # return and success of doing nothing on held_out


class Found(NamedTuple):
    """What was measured of one seed."""

    codes: Float[np.ndarray, "K C"]  # the skills: their numbers, or z
    prior: Float[np.ndarray, " K"]  # p(z) of the skills; 1 / K for those of a continuous space
    trials: Trials  # on the held-out tasks
    others: Trials  # on the tasks for choosing
    best: int  # skill with the highest mean return on these
    per_task: Int[np.ndarray, " N"]  # skill with the highest return in its trial on a task
    of_best: tuple[np.ndarray, np.ndarray]  # return and success of fresh episodes, (N,)
    of_per_task: tuple[np.ndarray, np.ndarray]
    moved: Float[np.ndarray, "K P"]  # m, on the held-out tasks
    obs: Float[np.ndarray, "K E T O"]  # a few episodes on the first held-out task


def set_up_test(config: SkillsRunConfig) -> SkillTest:
    """Tasks, and the one program of the test."""
    env: Any = make_env(config.env, reward="sparse")
    num_tasks, skills = config.evaluation.num_tasks, config.skills
    numbered = skills.skill_space == "categorical"
    num_skills = skills.num_skills if numbered else measures.NUM_DRAWN
    processes = jax.process_count()  # that share a call's episodes equally
    num_episodes = -(-min(PER_CALL, num_skills * num_tasks) // processes) * processes
    mesh = task_mesh(num_episodes, config.train.devices or None)
    learner = skill_learner(config, env, mesh)
    tasks = held_out_tasks(env, num_tasks)
    idle = jax.device_get(jax.jit(partial(do_nothing, env))(tasks))
    return SkillTest(
        config,
        numbered,
        learner,
        mesh,
        measures.compile_episodes(learner, mesh),
        num_episodes,
        tasks,
        choice_tasks(env, num_tasks),
        measures.points_of(env.features),
        (float(idle[0]), float(idle[1])),
    )


def measure(test: SkillTest, params: SkillParams, seed: int) -> Found:
    """Every skill on every task, then the chosen ones on fresh episodes of the held-out tasks.

    Args:
      test: from ``set_up_test``.
      params: one seed's.
      seed: of the episodes.
    """
    learner, sizes = test.learner, test.config.evaluation
    params = jax.device_get(params)
    codes = measures.codes_of(learner, params, test.numbered)
    prior = np.full(len(codes), 1.0 / len(codes))
    if test.numbered:
        prior = np.exp(learner.skills.log_prior(params.prior, codes))
    spread_params = replicate(params, test.mesh)
    player = Player(test.program, test.mesh, spread_params, np.asarray(codes), test.num_episodes)
    streams = Streams(*split(fold_in(jax.random.key(seed), EPISODES), len(Streams._fields)))
    trials = measures.try_all(player, test.held_out, sizes.num_tasks, streams.trials)
    others = measures.try_all(player, test.others, sizes.num_tasks, streams.others)
    best = measures.best_on_average(others.episode_return)
    per_task = measures.best_per_task(trials.episode_return)
    score = partial(measures.score, player, test.held_out, num_episodes=sizes.num_episodes)
    return Found(
        player.codes,
        prior,
        trials,
        others,
        best,
        per_task,
        score(np.full(sizes.num_tasks, best), key=streams.best),
        score(per_task, key=streams.per_task),
        measures.displacement(trials.ends, test.points),
        measures.watch(player, test.held_out, NUM_WATCHED, streams.watched),
    )
