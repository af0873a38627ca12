"""The words that every other file uses: trajectories, environments, and the axes of their arrays.

Legend of axes, in the order in which they are stacked:

====  ==========================================================
S     adaptation stages: 0 is before any inner step; of a policy with a memory, its episodes
N     tasks in a batch, or tasks in a set
K     episodes of one task at one stage
T     control steps of one episode
O     observation size
A     action size
M     numbered skills
Z     size of a skill as the policy is given it; C: as it is stored
F     features that a discriminator sees; D: what it puts out
L     latent size (0 for methods without a latent)
H     memory size (0 for policies without a memory)
====  ==========================================================
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, Self

import jax
from jaxtyping import Array, Float, Int, PRNGKeyArray

PyTree = Any
Task = Any
Metrics = dict[str, jax.Array]


class EnvState(Protocol):
    """What the library reads of an environment's state (``brax.envs.State`` satisfies it)."""

    @property
    def obs(self) -> Float[Array, "O"]: ...

    @property
    def reward(self) -> Float[Array, ""]: ...

    @property
    def done(self) -> Float[Array, ""]:
        """1.0 where this step ended the episode early, else 0.0."""
        ...

    @property
    def metrics(self) -> dict[str, Float[Array, ""]]:
        """Holds at least ``success``: 1.0 where this step reached the goal, else 0.0.

        ``task_reward`` is what a report counts, where that is not ``reward``.
        """
        ...


class Env(Protocol):
    """An environment whose task is data: one unbatched episode of at most ``horizon`` steps.

    A Brax ``Env`` with the four extra members below satisfies it. Nothing here is batched; the
    library vmaps over episodes and tasks.
    """

    @property
    def horizon(self) -> int:
        """Control steps per episode."""
        ...

    @property
    def observation_size(self) -> int: ...

    @property
    def action_size(self) -> int: ...

    def reset(self, rng: PRNGKeyArray, task: Task) -> EnvState:
        """First state of an episode of ``task``."""
        ...

    def step(self, state: Any, action: Float[Array, "A"]) -> EnvState:
        """State after one control step; ``action`` is clipped to [-1, 1] by the environment."""
        ...

    def sample_tasks(self, key: PRNGKeyArray, num_tasks: int) -> Task:
        """``num_tasks`` tasks of the training distribution, stacked on a leading axis."""
        ...

    def pack(self, state: Any) -> PyTree:
        """The least that has to be carried to the next step (a scan carries nothing else)."""
        ...

    def unpack(self, carry: PyTree, task: Task) -> EnvState:
        """A state from which ``step`` continues exactly as from the one that was packed."""
        ...


class LearnerState(Protocol):
    """What the training loop reads of a learner's state."""

    @property
    def params(self) -> PyTree:
        """What was learned."""
        ...

    @property
    def iteration(self) -> Int[Array, ""]:
        """Updates done; with an axis of seeds where several are trained side by side."""
        ...


class Learner(Protocol):
    """What the training loop needs of a method, which is a NamedTuple of pure functions."""

    @property
    def init(self) -> Callable[..., Any]:
        """Seed key -> first state, a ``LearnerState``."""
        ...

    @property
    def update(self) -> Callable[..., tuple[Any, Metrics]]:
        """State -> (state, scalars); of these ``finite`` is 0 where training cannot go on."""
        ...

    @property
    def steps_per_update(self) -> int:
        """Environment steps that one update takes."""
        ...

    def _replace(self, **fields: Any) -> Self: ...


class Gaussian(NamedTuple):
    """Parameters of a diagonal Gaussian: ``mean`` and ``log_std``, of equal trailing size."""

    mean: Float[Array, "*batch D"]
    log_std: Float[Array, "*batch D"]


class SkillChoice(NamedTuple):
    """A categorical distribution over skills and, independent of it, a Gaussian one.

    A sample is both side by side: the skill one-hot (M), then R numbers; R may be 0.
    """

    logits: Float[Array, "*batch M"]
    residual: Gaussian  # leaves (*batch, R)


ActionDist = Gaussian | SkillChoice
"""A policy's output: a distribution of actions."""


class Percept(NamedTuple):
    """What a policy with a memory is given at a step (Duan 2016, section 2.2)."""

    obs: Float[Array, "*batch O"]
    last_action: Float[Array, "*batch A"]  # clipped to [-1, 1]; 0 before a task's first step
    last_reward: Float[Array, "*batch"]
    start: Float[Array, "*batch"]  # 1.0 at the first step of an episode


class Trajectory(NamedTuple):
    """One episode. A rollout puts N and K in front of every field, adaptation S before them."""

    obs: Float[Array, "T O"]  # before the action
    action: Float[Array, "T A"]  # as sampled, not clipped
    action_dist: ActionDist  # leaves (T, ...): the policy that acted
    log_prob: Float[Array, "T"]  # of action under action_dist, summed over A
    reward: Float[Array, "T"]  # after the action; what is learned from
    task_reward: Float[Array, "T"]  # what is reported: the same, unless an environment says else
    success: Float[Array, "T"]  # 1.0 where the step reached the goal
    alive: Float[Array, "T"]  # 1.0 up to the step that ended the episode, then 0.0
    latent: Float[Array, "L"]  # z, drawn once for the episode
    latent_noise: Float[Array, "L"]  # z = mean + exp(log_std) * latent_noise
    latent_log_prob: Float[Array, ""]  # of z under the distribution it was drawn from
