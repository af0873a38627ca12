"""A bonus for new states, paid beside the reward where a task is learned alone.

A step is paid for the state it reached (``returns.reached_states``). The last step is paid nothing,
and neither is any step after an episode's end.
"""

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from explorax.config import Curiosity
from explorax.nets import relu_layers
from explorax.returns import pad_rewards, reached_states
from explorax.types import PyTree

OBS_CLIP = 5.0  # deviations from the mean (Burda 2018, section 2.4)
CELL_SIZE = 0.2  # side of a cell, in units of the observation
TABLE_SIZE = 2**14  # cells that are told apart, up to collisions


class Bonus(NamedTuple):
    """A bonus of one task as two pure functions; the caller vmaps over tasks."""

    init: Callable[[PRNGKeyArray], PyTree]
    """key -> state before any episode"""
    update: Callable[
        [PyTree, Float[Array, "K T O"], Float[Array, "K T"]], tuple[Float[Array, "K T"], PyTree]
    ]
    """(state, obs, alive) -> bonus of every step (K, T), state that has seen these episodes"""


def make_bonus(kind: Curiosity, obs_size: int) -> Bonus:
    """The bonus that ``MetaConfig.curiosity`` names."""
    return {"none": no_bonus, "rnd": partial(rnd, obs_size), "counts": counts}[kind]()


def no_bonus() -> Bonus:
    """Pays nothing and remembers nothing."""
    return Bonus(init=lambda _: (), update=lambda state, _, alive: (jnp.zeros_like(alive), state))


class CountsState(NamedTuple):
    """Visits of every cell so far."""

    visits: Int[Array, " table"]


def counts(cell_size: float = CELL_SIZE, table_size: int = TABLE_SIZE) -> Bonus:
    """1 / sqrt(n), n the visits of the reached cell, all of this batch's included.

    Source: MBIE-EB (Strehl & Littman 2008), there of states with actions; of hashed states alone,
    Tang et al. 2017 (arXiv 1611.04717, section 2.2). Cells that collide share their count.

    Args:
      cell_size: side of a cell, in units of the observation.
      table_size: entries of the table.
    """

    def update(state: CountsState, obs: Array, alive: Array) -> tuple[Array, CountsState]:
        state_reached, weight = reached_states(obs, alive)
        index = cell_index(state_reached, cell_size, table_size)
        visits = state.visits.at[index].add(weight.astype(jnp.int32))
        seen = jnp.maximum(visits[index], 1)  # an unvisited cell's n is not used: its weight is 0
        return pad_rewards(jax.lax.rsqrt(seen.astype(obs.dtype)), weight), CountsState(visits)

    return Bonus(lambda _: CountsState(jnp.zeros(table_size, jnp.int32)), update)


def cell_index(
    obs: Float[Array, "*batch O"], cell_size: float, table_size: int
) -> Int[Array, "*batch"]:
    """Row of the cell that ``obs`` lies in: sum_i c_i 127^i of its coordinates, modulo the table.

    In two dimensions no cells of a square of 127 by 127 collide in a table of 2^14.
    """
    cell = jnp.floor(obs / cell_size).astype(jnp.int32)
    coordinates = [cell[..., i] for i in range(obs.shape[-1])]
    first = jnp.zeros_like(cell[..., 0])
    return reduce(lambda row, c: (127 * row + c) % table_size, coordinates, first)


class Moments(NamedTuple):
    """Mean and mean square deviation of all that was seen so far."""

    count: Float[Array, ""]
    mean: Float[Array, "*shape"]
    variance: Float[Array, "*shape"]


def no_moments(shape: tuple[int, ...]) -> Moments:
    """Before anything was seen."""
    return Moments(jnp.zeros(()), jnp.zeros(shape), jnp.zeros(shape))


def add_to_moments(
    moments: Moments, x: Float[Array, "K T *shape"], weight: Float[Array, "K T"]
) -> Moments:
    """``moments`` with the entries of ``x`` whose weight is 1 (Chan et al. 1979)."""
    w = weight.reshape(*weight.shape, *[1] * (x.ndim - 2))
    batch_count = jnp.sum(weight)
    batch_mean = jnp.sum(x * w, (0, 1)) / batch_count
    batch_variance = jnp.sum(jnp.square(x - batch_mean) * w, (0, 1)) / batch_count
    count = moments.count + batch_count
    share = batch_count / count
    apart = batch_mean - moments.mean
    return Moments(
        count,
        moments.mean + share * apart,
        (1 - share) * (moments.variance + share * jnp.square(apart)) + share * batch_variance,
    )


def whiten(moments: Moments, x: Float[Array, "K T O"]) -> Float[Array, "K T O"]:
    """Deviations from the mean, clipped at 5; 0 in a coordinate that hardly varies."""
    std = jnp.sqrt(moments.variance) + 1e-4
    return jnp.clip((x - moments.mean) / std, -OBS_CLIP, OBS_CLIP)


class FeatureMLP(nn.Module):
    """ReLU layers, then linear features.

    Biases start at random: with none, features would be linear along every ray from the mean, and
    what is learned near it would hold far away.
    """

    hidden_sizes: Sequence[int]
    num_features: int

    @nn.compact
    def __call__(self, x: Float[Array, "*batch O"]) -> Float[Array, "*batch F"]:
        x = relu_layers(x, self.hidden_sizes, bias_init=nn.initializers.normal(1.0))
        return nn.Dense(self.num_features)(x)


class RNDStreams(NamedTuple):
    """The random streams of the two networks."""

    target: PRNGKeyArray
    predictor: PRNGKeyArray


class RNDState(NamedTuple):
    """What random network distillation carries from batch to batch."""

    target: PyTree  # stays as it was drawn
    predictor: PyTree
    adam: optax.OptState
    obs_moments: Moments  # (O,)
    error_moments: Moments  # of the squared errors that were paid for


def rnd(
    obs_size: int,
    hidden_size: int = 64,
    num_features: int = 16,
    num_steps: int = 8,
    learning_rate: float = 1e-3,
) -> Bonus:
    """Random network distillation (Burda et al. 2018, arXiv 1810.12894, section 2.2).

    The bonus is ||predictor(s) - target(s)||^2 / F of the whitened state, by a predictor that has
    not been trained on this batch, over the deviation of all errors so far. Then the predictor
    learns from the batch. The paper divides by the deviation of the discounted sums of errors.

    Args:
      obs_size: O.
      hidden_size: units of a layer; the target has one, the predictor two.
      num_features: F.
      num_steps: full-batch Adam steps per batch.
      learning_rate: Adam's.
    """
    target = FeatureMLP((hidden_size,), num_features)
    predictor = FeatureMLP((hidden_size, hidden_size), num_features)
    optimizer = optax.adam(learning_rate)

    def init(key: PRNGKeyArray) -> RNDState:
        streams = RNDStreams(*jax.random.split(key, len(RNDStreams._fields)))
        params = predictor.init(streams.predictor, jnp.zeros(obs_size))
        return RNDState(
            target.init(streams.target, jnp.zeros(obs_size)),
            params,
            optimizer.init(params),
            no_moments((obs_size,)),
            no_moments(()),
        )

    def update(state: RNDState, obs: Array, alive: Array) -> tuple[Array, RNDState]:
        state_reached, weight = reached_states(obs, alive)
        obs_moments = add_to_moments(state.obs_moments, state_reached, weight)
        x = whiten(obs_moments, state_reached)
        goal = cast(Array, target.apply(state.target, x))

        def error(params: PyTree) -> Float[Array, "K T-1"]:
            return jnp.mean(jnp.square(cast(Array, predictor.apply(params, x)) - goal), axis=-1)

        novelty = error(state.predictor)
        error_moments = add_to_moments(state.error_moments, novelty, weight)
        loss = lambda params: jnp.sum(error(params) * weight) / jnp.sum(weight)  # noqa: E731
        fitted = descend(optimizer, loss, (state.predictor, state.adam), num_steps)
        bonus = novelty / (jnp.sqrt(error_moments.variance) + 1e-8)
        return pad_rewards(bonus, weight), RNDState(
            state.target, *fitted, obs_moments, error_moments
        )

    return Bonus(init, update)


def descend(
    optimizer: optax.GradientTransformation,
    loss: Callable[[PyTree], Float[Array, ""]],
    start: tuple[PyTree, optax.OptState],
    num_steps: int,
) -> tuple[PyTree, optax.OptState]:
    """Parameters and the optimiser's state after ``num_steps`` steps on one loss."""

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, start, length=num_steps)[0]
