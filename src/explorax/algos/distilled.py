"""Skills as initialisation: a meta-learner whose policy starts as what DIAYN's skills do.

A latent z ~ N(0, I) is drawn once per episode, as a skill is. So numbered skills are laid on a
circle of latents, each on an equal part of it and neighbours alike; theta learns to do for a z what
the skill at its angle does (behavioural cloning), and is meta-trained from there as ever. Latents
then lead to different places from the start, where those of a random theta lead nowhere, and come
upon a sparse reward. (Eysenbach et al. 2018, section 4.2.1, start from one skill to learn one
task.)

Theta's deviation stays the initial one. That of skills is small, and so would be the steps that the
outer step's trust region allows: a KL counts in deviations.

Where to read it:
  skills                           diayn
  their places on the circle       places_of
  latents on a skill's part of it  latents_of
  cloning                          distil
  all else                         as maesn, or the method whose start it is
"""

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray

from explorax import meta_update
from explorax.adapt import along_time
from explorax.config import DEMONSTRATIONS, MetaConfig, require
from explorax.meta_update import MetaLearner, MetaState
from explorax.nets import Policy
from explorax.options import FrozenSkills, SkillSet
from explorax.rollout import rollout_given
from explorax.sac import squashed
from explorax.types import Env, Gaussian, PyTree, Task, Trajectory

CLONING = 0xC10E
"""Stream of the cloning within the seed's key."""
NUM_GRADIENT_STEPS = 8000
"""Gradient steps of the cloning."""
BATCH_SIZE = 1024
"""Control steps of demonstrations per gradient step."""
LEARNING_RATE = 2e-3
"""Adam's initial step size; it falls linearly to 0."""


class CloningStreams(NamedTuple):
    """The random streams of the cloning."""

    episodes: PRNGKeyArray
    latents: PRNGKeyArray
    batches: PRNGKeyArray


def build(
    env: Env, skills: SkillSet, features: tuple[int, ...], config: MetaConfig, mesh: Mesh
) -> MetaLearner:
    """The meta-learner that ``config`` describes, its theta distilled from skills.

    Its ``init`` takes frozen skills beside the key. Without them theta is random.

    Args:
      env: static environment.
      skills: numbered.
      features: indices of f(s) in an observation; skills are alike that change it alike.
      config: the method.
      mesh: from ``task_mesh``.

    Raises:
      ValueError: the method's latents have no circle.
    """
    require(config.latent_dim >= 2, "meta.latent_dim", "must be at least 2 to start from skills")
    require(len(features) >= 2, "skills.features", "must be at least 2 to lay skills on a circle")
    learner = meta_update.build(env, config, mesh)

    def init(key: PRNGKeyArray, frozen: FrozenSkills | None = None) -> MetaState:
        state = learner.init(key)
        if frozen is None:
            return state
        streams = CloningStreams(*jax.random.split(jax.random.fold_in(key, CLONING), 3))
        with jax.default_matmul_precision("highest"):  # float32 throughout, as in meta_update
            number, shown = demonstrations(env, skills, frozen, state.tasks, streams.episodes)
            place = places_of(number, shown.obs[..., jnp.array(features)], skills.size)[number]
            z = latents_of(place, skills.size, config.latent_dim, streams.latents)
            theta = distil(learner.policy, state.params.policy, shown, z, streams.batches)
        return state._replace(params=state.params._replace(policy=theta))

    return learner._replace(init=init)


def demonstrations(
    env: Env, skills: SkillSet, frozen: FrozenSkills, tasks: Task, key: PRNGKeyArray
) -> tuple[Int[Array, " E"], Trajectory]:
    """DEMONSTRATIONS episodes on every task, all skills in turn.

    Returns:
      The number of each episode's skill, and the episodes, leading axis E; actions are those before
      their tanh.
    """
    num_tasks = len(jax.tree.leaves(tasks)[0])
    number = jnp.arange(num_tasks * DEMONSTRATIONS) % skills.size
    of_episodes = jax.tree.map(lambda x: jnp.repeat(x, DEMONSTRATIONS, axis=0), tasks)
    trajectory = rollout_given(
        squashed(env),
        skills.policy,
        frozen.policy,
        of_episodes,
        jax.nn.one_hot(number, skills.size),
        jax.random.split(key, len(number)),
    )
    return number, trajectory


def places_of(
    number: Int[Array, " E"], seen: Float[Array, "E T F"], num_skills: int
) -> Int[Array, " M"]:
    """Each skill's place, 0 to M - 1, among all by the angle of where it leads.

    That is what it changes f(s) by on average, less what all do, in the plane in which skills
    differ most (the first two principal components).
    """
    chosen = jax.nn.one_hot(number, num_skills, axis=0)
    moved = chosen @ (seen[:, -1] - seen[:, 0]) / jnp.sum(chosen, axis=1, keepdims=True)
    apart = moved - jnp.mean(moved, axis=0)
    _, _, components = jnp.linalg.svd(apart, full_matrices=False)
    x, y = components[:2] @ apart.T
    return jnp.argsort(jnp.argsort(jnp.arctan2(y, x)))


def latents_of(
    place: Int[Array, " E"], num_skills: int, latent_dim: int, key: PRNGKeyArray
) -> Float[Array, "E L"]:
    """z ~ N(0, I), given that the angle of its first two numbers is in a skill's part."""
    angle_key, normal_key = jax.random.split(key)
    within = jax.random.uniform(angle_key, place.shape)
    angle = 2.0 * jnp.pi * (place + within) / num_skills
    z = jax.random.normal(normal_key, (len(place), latent_dim))
    radius = jnp.linalg.norm(z[:, :2], axis=-1)
    on_circle = radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
    return jnp.concatenate([on_circle.T, z[:, 2:]], axis=-1)


def distil(
    policy: Policy,
    theta: PyTree,
    shown: Trajectory,
    latent: Float[Array, "E L"],
    key: PRNGKeyArray,
) -> PyTree:
    """``theta``, its mean action the least squares fit to what was shown, each episode for its z.

    Args:
      policy: a Gaussian pi_theta(a | s, z).
      theta: where it starts.
      shown: demonstrations, leading axis E.
      latent: z of each.
      key: consumed.
    """
    flat = lambda x: x.reshape(-1, x.shape[-1])  # noqa: E731
    obs, z = flat(shown.obs), flat(along_time(latent, shown.obs))
    action, alive = flat(jnp.tanh(shown.action)), shown.alive.reshape(-1)
    adam = optax.adam(optax.linear_schedule(LEARNING_RATE, 0.0, NUM_GRADIENT_STEPS))

    def loss(params: PyTree, drawn: Int[Array, " B"]) -> Float[Array, ""]:
        dist = cast(Gaussian, policy.apply(params, obs[drawn], z[drawn]))
        error = jnp.sum((dist.mean - action[drawn]) ** 2, axis=-1)
        return jnp.mean(alive[drawn] * error)

    def step(carry, batch_key):
        params, state = carry
        drawn = jax.random.randint(batch_key, (BATCH_SIZE,), 0, len(obs))
        updates, state = adam.update(jax.grad(loss)(params, drawn), state)
        return (optax.apply_updates(params, updates), state), None

    keys = jax.random.split(key, NUM_GRADIENT_STEPS)
    (theta, _), _ = jax.lax.scan(step, (theta, adam.init(theta)), keys)
    return theta
