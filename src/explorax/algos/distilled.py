"""Skills as initialisation: a meta-learner whose policy starts as what DIAYN's skills do.

DIAYN's latent z ~ N(0, I) is drawn once per episode, as MAESN's is. So theta first learns to do
for a z what skill z does (behavioural cloning), and is meta-trained from there as ever. Latents
then lead to different places from the start, where those of a random theta lead nowhere, and come
upon a sparse reward. (Eysenbach et al. 2018, section 4.2.1, start from one skill to learn one
task.)

Theta's deviation stays the initial one. That of skills is small, and so would be the steps that the
outer step's trust region allows: a KL counts in deviations.

Where to read it:
  continuous skills                diayn, skills.gaussian
  cloning                          distil
  all else                         as maesn, or the method whose start it is
"""

from typing import cast

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray

from explorax import meta_update
from explorax.adapt import along_time, task_axes
from explorax.config import DEMONSTRATIONS, MetaConfig, require
from explorax.meta_update import MetaLearner, MetaState
from explorax.nets import Policy
from explorax.options import FrozenSkills, SkillSet
from explorax.rollout import TaskParams, rollout
from explorax.sac import squashed
from explorax.types import Env, Gaussian, PyTree, Task

CLONING = 0xC10E
"""Stream of the cloning within the seed's key."""
NUM_GRADIENT_STEPS = 6000
"""Of the cloning."""
BATCH_SIZE = 1024
"""Control steps of demonstrations in each."""
LEARNING_RATE = 2e-3
"""Adam's at first; it falls linearly to 0."""


def build(env: Env, skills: SkillSet, config: MetaConfig, mesh: Mesh) -> MetaLearner:
    """The meta-learner that ``config`` describes, its theta distilled from skills.

    Its ``init`` takes frozen skills beside the key. Without them theta is random.

    Args:
      env: static environment.
      skills: continuous, z ~ N(0, I), as many numbers as a latent of the method has.
      config: the method.
      mesh: from ``task_mesh``.

    Raises:
      ValueError: the method's latents are of another size than z.
    """
    expectation = f"must be {skills.size}, the size of a skill, to start from skills"
    require(config.latent_dim == skills.size, "meta.latent_dim", expectation)
    learner = meta_update.build(env, config, mesh)

    def init(key: PRNGKeyArray, frozen: FrozenSkills | None = None) -> MetaState:
        state = learner.init(key)
        if frozen is None:
            return state
        theta, cloning = state.params.policy, jax.random.fold_in(key, CLONING)
        with jax.default_matmul_precision("highest"):  # float32 throughout, as in meta_update
            theta = distil(env, skills, frozen, learner.policy, theta, state.tasks, cloning)
        return state._replace(params=state.params._replace(policy=theta))

    return learner._replace(init=init)


def distil(
    env: Env,
    skills: SkillSet,
    frozen: FrozenSkills,
    policy: Policy,
    theta: PyTree,
    tasks: Task,
    key: PRNGKeyArray,
) -> PyTree:
    """``theta``, its mean action the least squares fit to what skills do on ``tasks``.

    Args:
      env: static environment.
      skills: continuous.
      frozen: what they have learned.
      policy: a Gaussian pi_theta(a | s, z).
      theta: where it starts.
      tasks: leading axis N.
      key: consumed.
    """
    episodes_key, batches_key = jax.random.split(key)
    obs, z, action, alive = _demonstrations(env, skills, frozen, tasks, episodes_key)
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

    keys = jax.random.split(batches_key, NUM_GRADIENT_STEPS)
    (theta, _), _ = jax.lax.scan(step, (theta, adam.init(theta)), keys)
    return theta


def _demonstrations(
    env: Env, skills: SkillSet, frozen: FrozenSkills, tasks: Task, key: PRNGKeyArray
) -> tuple[Float[Array, "B O"], Float[Array, "B L"], Float[Array, "B A"], Float[Array, " B"]]:
    """Observations, z, actions in [-1, 1] and whether an episode went on, of all control steps."""
    num_tasks = len(jax.tree.leaves(tasks)[0])
    keys = jax.random.split(key, (num_tasks, DEMONSTRATIONS))
    zeros = jnp.zeros((num_tasks, skills.size))
    params = TaskParams(Gaussian(zeros, zeros), frozen.policy)
    trajectory = rollout(squashed(env), skills.policy, params, task_axes("latents"), tasks, keys)
    z = along_time(trajectory.latent, trajectory.obs)
    flat = lambda x: x.reshape(-1, x.shape[-1])  # noqa: E731
    action, alive = jnp.tanh(trajectory.action), trajectory.alive.reshape(-1)
    return flat(trajectory.obs), flat(z), flat(action), alive
