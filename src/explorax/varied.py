"""Runs that differ in numbers, side by side in one program: the numbers are traced, not constants.

A config with traced numbers is never checked: each member's own config has been, with its own.
"""

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import jax

from explorax.types import Learner, PyTree

AnyLearner = TypeVar("AnyLearner", bound=Learner)
Config = TypeVar("Config")


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """A copy of a frozen dataclass with other values of some fields, which are not checked.

    Args:
      config: the dataclass, and below it others.
      values: by the full name of the field below ``config``, as in ``ppo.learning_rate``.
    """
    changed = copy.copy(config)
    for name, value in values.items():
        first, _, rest = name.partition(".")
        new = with_values(getattr(changed, first), {rest: value}) if rest else value
        object.__setattr__(changed, first, new)  # ``replace`` would compare tracers
    return changed


def over_values(
    make: Callable[[PyTree], AnyLearner],
    usual: AnyLearner,
    values: PyTree,
    one_by_one: bool = False,
) -> AnyLearner:
    """``init`` and ``update`` of several runs side by side, each with its own numbers.

    Keys, states and metrics have a leading axis of runs; all else of the learner stays that of one.

    Args:
      make: the learner of one run from its row of ``values``, whose leaves are then tracers.
      usual: what all else of the learner is.
      values: float32 arrays with a leading axis of runs; constants of the program.
      one_by_one: updates follow each other, as a CPU's caches hold those of one run only; not for
        states so large that the time to copy them counts.
    """

    def update(run: tuple[PyTree, PyTree]) -> Any:
        its, state = run
        return make(its).update(state)

    over_runs = partial(jax.lax.map, update) if one_by_one else jax.vmap(update)
    init = jax.vmap(lambda its, *args: make(its).init(*args))
    return usual._replace(
        init=partial(init, values), update=lambda states: over_runs((values, states))
    )


def over_seeds(learner: AnyLearner, one_by_one: bool = False) -> AnyLearner:
    """``over_values`` of runs that differ in nothing but their keys."""
    return over_values(lambda _: learner, learner, (), one_by_one)
