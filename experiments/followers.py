"""What all but the first of a run's processes do: their part of what is computed, nothing else.

The first process alone reads and writes the run, and speaks. The others get the state from it, and
call what is computed by all (``fit``, ``replay``, the test) in the same order.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from config import RunConfig
from errors import RunError, code_once_saved
from explorax.parallel import of_first_process, wait_for_all
from explorax.train import Callbacks, NonFiniteError, StopSignal, fit, replay
from explorax.types import LearnerState, PyTree
from learners import Setup, template
from training import schedule

C = TypeVar("C", bound=RunConfig)


def follow(config: C, setup: Setup, test_along: Callable[[C, PyTree], None]) -> int:
    """Trains and tests along with the first process.

    Args:
      config: the run's.
      setup: what is made of it.
      test_along: ``(config, params)``, this process's part of the test.

    Returns:
      The exit code, that of the first process.

    Raises:
      RunError: the parameters are not finite any more.
    """
    with StopSignal() as stop:
        state = _first_ones_state(setup)
        callbacks = Callbacks(lambda _: None, lambda *_: None, stop)
        try:
            result = fit(setup.learner, state, setup.mesh, schedule(config), callbacks)
        except NonFiniteError as error:
            again, chunk_size = _first_ones_state(setup), config.train.chunk_size
            replay(setup.learner, again, setup.mesh, chunk_size, error.meta_iteration)
            wait_for_all()  # until the first one has written what broke
            raise RunError(str(error)) from error
        received = stop.agreed()
    if received is not None:
        return code_once_saved(received)
    test_along(config, result.state.params)
    return 0


def _first_ones_state(setup: Setup) -> LearnerState:
    """The first process's state."""
    empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), template(setup))
    return of_first_process(empty)
