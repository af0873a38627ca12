"""From a config to its learner, devices and keys, and to a run's states."""

import contextlib
import math
import sys
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, PRNGKeyArray

from config import Config, RunConfig, SkillsRunConfig
from errors import UsageError
from explorax.algos import latent_diayn
from explorax.checkpoint import CheckpointError, Checkpoints, Restored
from explorax.meta_update import MetaLearner, build
from explorax.parallel import one_device, task_mesh
from explorax.sinks import META_RUN, SKILLS_RUN, RunKind, SinkError
from explorax.types import Env, Learner, LearnerState, PyTree
from explorax.varied import over_seeds, over_values, with_values
from run_directory import RunDirectory
from runtime import make_env
from skill_sources import check_unchanged, skill_paths, source_of

if TYPE_CHECKING:
    from explorax.algos.diayn import SkillLearner


class Setup(NamedTuple):
    """What is built from a config."""

    learner: Learner
    mesh: Mesh
    keys: PRNGKeyArray  # of the seed, or of each of several members
    kind: RunKind


def set_up(config: RunConfig, mesh: Mesh | None = None) -> Setup:
    """Environment, devices (those of ``mesh``, or as many as the run can use), learner and keys.

    Raises:
      UsageError: the processes that are to train it together cannot do so.
    """
    mesh = mesh or _mesh(config)
    learner, kind = _learner(config, mesh)
    if config.num_members == 1:
        return Setup(learner, mesh, jax.random.key(config.seed), kind)
    values = varied_values(config)
    make = lambda values: _learner(with_values(config, values), mesh)[0]  # noqa: E731
    # The replay buffer of a run of skills is too large to be handed on and on.
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    one_by_one = on_cpu and isinstance(config, Config)
    if values:
        together = over_values(make, learner, values, one_by_one)
    else:
        together = over_seeds(learner, one_by_one)
    seeds = jnp.array([member.seed for member in config.members()])
    return Setup(together, mesh, jax.vmap(jax.random.key)(seeds), kind)


def varied_values(config: RunConfig) -> dict[str, Float[np.ndarray, " M"]]:
    """The numbers in which a run's M members differ, by field; none where only seeds do."""
    if not isinstance(config, Config) or not config.vary:
        return {}
    settings, seeds = config.settings, config.num_seeds
    column = lambda name: np.array([s[name] for s in settings], np.float32)  # noqa: E731
    return {name: np.repeat(column(name), seeds) for name in settings[0]}


def _mesh(config: RunConfig) -> Mesh:
    """The devices of all processes that share the run's training, and its test."""
    shared, processes = spread(config), jax.process_count()
    tested = {"metatest.num_tasks": config.metatest.num_tasks} if isinstance(config, Config) else {}
    for name, value in (shared | tested).items():
        if value % processes != 0:
            raise UsageError(f"{name}: {processes} processes cannot share {value} equally")
    try:
        return task_mesh(math.gcd(*shared.values()), config.train.devices or None)
    except ValueError as error:
        raise UsageError(f"distributed: {error}") from error


def spread(config: RunConfig) -> dict[str, int]:
    """The fields, with their values, that are divided among devices."""
    if isinstance(config, SkillsRunConfig):
        names = ("num_episodes", "batch_size")
        return {f"skills.{name}": getattr(config.skills, name) for name in names}
    assert isinstance(config, Config)
    return {"meta.meta_batch_size": config.meta.meta_batch_size}


def _learner(config: RunConfig, mesh: Mesh) -> tuple[Learner, RunKind]:
    """The learner that belongs to the config's class."""
    if isinstance(config, SkillsRunConfig):
        return skill_learner(config, make_env(config.env), mesh), SKILLS_RUN
    assert isinstance(config, Config)
    return meta_learner(config, make_env(config.env), mesh), META_RUN


def meta_learner(config: Config, env: Env, mesh: Mesh) -> MetaLearner:
    """The learner of a run on ``env``, which has the run's own reward or that of the test.

    Raises:
      UsageError: the skills that it has are not there, or the environment lacks the
        features that tell its latents apart, or the method cannot be paid for being told apart.
    """
    hierarchy = config.hierarchy
    if hierarchy.skills == "none":
        return build(env, config.meta, mesh)
    if hierarchy.skills == "latent":
        latent_skills = hierarchy.latent_skills
        features = features_of(
            config.env.name, env, "hierarchy.latent_skills.features", latent_skills.features
        )
        make = partial(latent_diayn.build, env, features, latent_skills)
    else:
        # Brax's learners take seconds to import.
        from explorax.algos import diayn, distilled, hmrl

        found = source_of(config).config
        features = features_of(config.env.name, env, "skills.features", found.features)
        skills = diayn.skill_set(env, features, found)
        if hierarchy.skills == "distilled":
            make = partial(distilled.build, env, skills, features)
        else:
            make = partial(hmrl.build, env, skills, hierarchy.options)
    try:
        return make(config.meta, mesh)
    except ValueError as error:
        raise UsageError(str(error)) from error


def features_of(name: str, env: Any, field: str, asked: str) -> tuple[int, ...]:
    """The indices in an observation of what ``field`` asks for, on the environment ``name``.

    Raises:
      UsageError: the environment has no such features.
    """
    if asked not in env.features:
        names = ", ".join(env.features)
        raise UsageError(f"{field}: must be one of {names} for env.name {name}; got '{asked}'")
    return env.features[asked]


def skill_learner(config: SkillsRunConfig, env: Any, mesh: Mesh) -> "SkillLearner":
    """The learner of a run of skills on ``env``, which names parts of its observations.

    Raises:
      UsageError: it has no such features, or the replay buffer is too small for it.
    """
    features = features_of(config.env.name, env, "skills.features", config.skills.features)
    # Brax's learners take seconds to import, and mjx speaks unless the environment came first.
    from explorax.algos import diayn

    try:
        return diayn.build(env, features, config.skills, mesh)
    except ValueError as error:
        raise UsageError(str(error)) from error


def first_state(config: RunConfig, setup: Setup) -> LearnerState:
    """The state in which a run's training begins.

    Raises:
      UsageError: the skills that it is to have are not there any more.
    """
    init = jax.jit(setup.learner.init)
    if isinstance(config, Config) and config.hierarchy.needs_discovered:
        return init(setup.keys, discovered_skills(config))
    return init(setup.keys)


def discovered_skills(config: Config) -> PyTree:
    """The skills, frozen, from the newest checkpoints of their runs.

    Returns:
      Leaves with a leading axis of members, where the run has several.

    Raises:
      UsageError: they are not there, or not those that the run was started with.
    """
    check_unchanged(config)
    paths = skill_paths(config)
    runs = {path: RunDirectory.open(path, SkillsRunConfig) for path in paths.values()}
    # Brax's learners take seconds to import.
    from explorax.algos.diayn import frozen

    found = {  # of each state, which is large, the skills alone are kept
        path: jax.device_get(frozen(finished_state(run, "hierarchy.skills_dir").params))
        for path, run in runs.items()
    }
    of_seeds = {
        seed: of_seed(runs[path].config, found[path], seed - runs[path].config.seed)
        for seed, path in paths.items()
    }
    of_members = [of_seeds[member.seed] for member in config.members()]
    if config.num_members == 1:
        return of_members[0]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *of_members)


def of_seed(config: RunConfig, params: PyTree, member: int) -> PyTree:
    """One member's parameters."""
    return params if config.num_members == 1 else jax.tree.map(lambda x: x[member], params)


def last_or_first(config: RunConfig, setup: Setup, checkpoints: Checkpoints) -> Restored:
    """A run's newest whole checkpoint; before the first one, its first state, with empty info.

    Raises:
      CheckpointError: there are checkpoints, but none is whole.
      UsageError: as ``first_state``.
    """
    if checkpoints.is_new():
        return Restored(0, first_state(config, setup), {}, {})
    return restore(checkpoints, setup)


def restore_latest(run: RunDirectory, setup: Setup) -> tuple[LearnerState, int]:
    """The newest whole state of a run and its iteration, without touching the run."""
    with reading(), Checkpoints(run.checkpoints, read_only=True) as checkpoints:
        restored = restore(checkpoints, setup)
    return restored.state, restored.step


def finished_state(run: RunDirectory, flag: str = "run_dirs") -> LearnerState:
    """The state that a run has ended with, on one device, without touching the run.

    Args:
      run: may be trained on any number of devices.
      flag: the one that named it.

    Raises:
      UsageError: it is not finished, or its checkpoint cannot be read.
    """
    asked, setup = run.config.train.num_iterations, set_up(run.config, one_device())
    state, done = restore_latest(run, setup)
    if done < asked:
        raise UsageError(
            f"{flag}: {run.path} is at {done} of {asked} {setup.kind.iteration}s; "
            f"`make {run.config.target}` goes on with --resume --run-dir {run.path}"
        )
    return state


def restore_best(run: RunDirectory, setup: Setup) -> tuple[LearnerState, int]:
    """The state of a run with the best score, and its iteration, without touching the run.

    Raises:
      UsageError: nothing was earned before any of its checkpoints, or the best is damaged.
    """
    with reading(), Checkpoints(run.checkpoints, read_only=True) as checkpoints:
        best = checkpoints.best()
        if best is None:
            raise UsageError(f"best: no checkpoint in {run.checkpoints} has a score")
        restored = restore(checkpoints, setup, best)
    return restored.state, restored.step


def restore(checkpoints: Checkpoints, setup: Setup, step: int | None = None) -> Restored:
    """As ``Checkpoints.restore``, onto a device of this process.

    Says on stderr which damaged checkpoints are passed over.
    """
    restored = checkpoints.restore(template(setup), one_device(), step)
    for newer, fault in restored.passed_over.items():
        path = checkpoints.directory / str(newer)
        print(f"{path}: {fault}; {restored.step} is used in its place", file=sys.stderr)
    return restored


def template(setup: Setup) -> LearnerState:
    """Shapes and dtypes of a run's states."""
    return jax.eval_shape(setup.learner.init, setup.keys)


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Turns errors of reading into UsageErrors: they are for the user to mend."""
    try:
        yield
    except (CheckpointError, SinkError) as error:
        raise UsageError(str(error)) from error
