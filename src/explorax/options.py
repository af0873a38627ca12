"""Frozen skills as an environment: an action chooses the skill that acts for the next c steps.

A chosen skill is an option (Sutton, Precup, Singh 1999): what is learned from is the reward of its
steps, discounted within it, and the discount from one choice to the next is discount^c.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from explorax import distributions
from explorax.config import OptionConfig, require
from explorax.nets import Policy
from explorax.rollout import RolloutStreams
from explorax.types import Env, PyTree, Task

NOISE = 0x5C11
"""Stream of the skills' own randomness within an episode's key."""


class FrozenSkills(NamedTuple):
    """What skills have learned; it never changes."""

    policy: PyTree  # theta of pi(a | s, k)
    discriminator: PyTree  # phi of q(k | f(s))
    prior: PyTree  # of p(k)


class SkillSet(NamedTuple):
    """Frozen skills as pure functions."""

    policy: Policy
    """pi(a | s, k) before its tanh, of soft actor-critic"""
    size: int
    """M, their number"""
    init: Callable[[PRNGKeyArray], FrozenSkills]
    """key -> untrained ones"""
    intrinsic_reward: Callable[
        [FrozenSkills, Float[Array, "*batch O"], Float[Array, "*batch M"]], Array
    ]
    """(skills, obs, k one-hot) -> log q(k | f(s)) - log p(k), nats, (*batch)"""


class OptionState(NamedTuple):
    """Satisfies ``types.EnvState``."""

    inner: Any  # the environment's own state
    task: Task
    key: PRNGKeyArray  # of the actions of the skills to come
    reward: Float[Array, ""]  # discounted within the option
    done: Float[Array, ""]
    metrics: dict[str, Float[Array, ""]]

    @property
    def obs(self) -> Float[Array, " O"]:
        """The environment's own."""
        return self.inner.obs


class Options:
    """``env`` whose action is a skill, one-hot (M), and if so configured a residual action (A).

    Satisfies ``types.Env``; its horizon counts choices. One skill acts as it was trained to, at
    random within its entropy; a residual is added to all of its actions.
    """

    def __init__(
        self, env: Env, skills: SkillSet, theta: PyTree, config: OptionConfig, discount: float
    ) -> None:
        """Takes frozen skills.

        Args:
          env: static environment.
          skills: their policy and number.
          theta: the skills', trained in ``squashed(env)``.
          config: c, and whether there is a residual.
          discount: per control step.

        Raises:
          ValueError: c does not divide the horizon.
        """
        fits = f"must divide the environment's horizon of {env.horizon}"
        require(env.horizon % config.length == 0, "options.length", fits)
        self.env, self.skills, self.theta = env, skills, theta
        self.config, self.discount = config, discount
        self.horizon = env.horizon // config.length
        self.observation_size = env.observation_size
        self.action_size = skills.size + self.residual_size

    @property
    def residual_size(self) -> int:
        """R: that of an action, or 0."""
        return self.env.action_size if self.config.residual else 0

    def sample_tasks(self, key: PRNGKeyArray, num_tasks: int) -> Task:
        """The environment's own."""
        return self.env.sample_tasks(key, num_tasks)

    def reset(self, rng: PRNGKeyArray, task: Task) -> OptionState:
        """The environment's own first state."""
        return self._state(self.env.reset(rng, task), task, jax.random.fold_in(rng, NOISE))

    def pack(self, state: OptionState) -> tuple[PyTree, PRNGKeyArray]:
        """What the environment packs, and the key."""
        return self.env.pack(state.inner), state.key

    def unpack(self, carry: tuple[PyTree, PRNGKeyArray], task: Task) -> OptionState:
        """The inverse of ``pack``."""
        return self._state(self.env.unpack(carry[0], task), task, carry[1])

    def step(self, state: OptionState, action: Float[Array, " M+R"]) -> OptionState:
        """The state after c control steps of the chosen skill."""
        return self.watched_step(state, action)[0]

    def watched_step(
        self, state: OptionState, action: Float[Array, " M+R"]
    ) -> tuple[OptionState, Float[Array, "c O"]]:
        """``step``, and what was observed before each of its control steps."""
        skill, residual = action[: self.skills.size], action[self.skills.size :]
        task = state.task
        next_key, key = jax.random.split(state.key)
        noise = jax.random.normal(key, (self.config.length, self.env.action_size))

        def control_step(carry, inputs):
            packed, alive = carry
            noise, weight = inputs
            before = self.env.unpack(packed, task)
            dist = self.skills.policy.apply(self.theta, before.obs, skill)
            command = jnp.tanh(distributions.sample(dist, noise))
            if self.config.residual:
                command += jnp.clip(residual, -1.0, 1.0)
            after = self.env.step(before, command)
            packed = jax.tree.map(
                lambda new, old: jnp.where(alive > 0, new, old), self.env.pack(after), packed
            )
            paid, earned = after.reward, after.metrics.get("task_reward", after.reward)
            rewards = alive * weight * paid, alive * earned
            out = (*rewards, alive * after.metrics["success"], before.obs)
            return (packed, alive * (1.0 - after.done)), out

        weights = self.discount ** jnp.arange(self.config.length)
        first = (self.env.pack(state.inner), jnp.ones(()))
        (packed, alive), steps = jax.lax.scan(control_step, first, (noise, weights))
        discounted, earned, success, obs = steps
        metrics = {"task_reward": jnp.sum(earned), "success": jnp.max(success)}
        inner = self.env.unpack(packed, task)
        after = OptionState(inner, task, next_key, jnp.sum(discounted), 1.0 - alive, metrics)
        return after, obs

    def _state(self, inner: Any, task: Task, key: PRNGKeyArray) -> OptionState:
        zero = jnp.zeros(())
        metrics = {"task_reward": zero, "success": zero}
        return OptionState(inner, task, key, zero, zero, metrics)


def replay(
    options: Options, task: Task, key: PRNGKeyArray, actions: Float[Array, "T M+R"]
) -> Float[Array, "T*c O"]:
    """What was observed at every control step of an episode, before its action.

    Args:
      options: in which the episode was rolled out.
      task: the episode's.
      key: the episode's, as ``rollout`` had it.
      actions: the episode's choices.
    """
    streams = RolloutStreams(*jax.random.split(key, len(RolloutStreams._fields)))

    def choose(carry, action):
        packed, alive = carry
        before = options.unpack(packed, task)
        after, obs = options.watched_step(before, action)
        still = packed, jnp.broadcast_to(before.obs, obs.shape)
        packed, obs = jax.tree.map(
            lambda new, old: jnp.where(alive > 0, new, old), (options.pack(after), obs), still
        )
        return (packed, alive * (1.0 - after.done)), obs

    first = options.pack(options.reset(streams.reset, task))
    _, obs = jax.lax.scan(choose, (first, jnp.ones(())), actions)
    return obs.reshape(-1, obs.shape[-1])
