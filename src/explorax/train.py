"""The host's loop: chunks of meta-updates in one compiled program, metrics fetched one late."""

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int

from explorax.parallel import highest, local, replicate
from explorax.types import Learner, LearnerState, Metrics

Chunk = Callable[[LearnerState, Int[Array, ""]], tuple[LearnerState, Metrics]]


class NonFiniteError(Exception):
    """What was learned, or sampled, is no longer finite."""

    def __init__(
        self, meta_iteration: int, state: LearnerState, members: Sequence[int], metrics: list[str]
    ):
        """Says at which meta-iteration.

        Args:
          meta_iteration: the first whose update is not finite.
          state: the newest, at most two chunks later.
          members: of the seeds that are trained together, those that broke (from 0).
          metrics: names of those of their metrics that are not finite.
        """
        super().__init__(f"parameters or returns are not finite at meta-iteration {meta_iteration}")
        self.meta_iteration, self.state = meta_iteration, state
        self.members, self.metrics = tuple(members), tuple(metrics)


class Schedule(NamedTuple):
    """When the loop stops, fetches and saves, counted in meta-iterations."""

    num_iterations: int  # since the very start, not since resuming
    chunk_size: int  # at most so many per call
    checkpoint_every: int


class Callbacks(NamedTuple):
    """What the loop calls."""

    on_metrics: Callable[[Sequence[dict[str, float]]], None]
    """one meta-iteration's metrics of each seed, iteration by iteration"""
    save: Callable[[int, LearnerState], None]
    """(meta-iterations done, finite state); the state is donated afterwards"""
    should_stop: Callable[[], bool] = lambda: False
    """asked between chunks"""
    compiling: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext
    """entered around the call that compiles"""


class FitResult(NamedTuple):
    """Where the loop ended."""

    state: LearnerState
    meta_iteration: int
    finished: bool  # False: should_stop said so


def compile_chunk(learner: Learner, chunk_size: int) -> Chunk:
    """One program for every chunk: (state, num_updates) -> (state, metrics).

    The number of updates is an argument, so that the last, shorter chunk is no second program.
    The state is donated. Metrics have a leading axis of ``chunk_size``, of which the first
    ``num_updates`` entries are written and the others are 0.

    Args:
      learner: whose update runs.
      chunk_size: the most updates of one call.
    """
    update = jax.jit(learner.update)  # traced once for both uses below

    def chunk(state: LearnerState, num_updates: Int[Array, ""]) -> tuple[LearnerState, Metrics]:
        _, shapes = jax.eval_shape(update, state)
        buffers = jax.tree.map(lambda x: jnp.zeros((chunk_size, *x.shape), x.dtype), shapes)

        def body(i, carry):
            state, buffers = carry
            state, metrics = update(state)
            return state, jax.tree.map(lambda b, x: b.at[i].set(x), buffers, metrics)

        return jax.lax.fori_loop(0, num_updates, body, (state, buffers))

    return jax.jit(chunk, donate_argnums=0)


def next_chunk_size(schedule: Schedule, done: int) -> int:
    """Updates until the chunk, the stretch between checkpoints or the run is full."""
    to_checkpoint = schedule.checkpoint_every - done % schedule.checkpoint_every
    return min(schedule.chunk_size, to_checkpoint, schedule.num_iterations - done)


class _Pending(NamedTuple):
    """A chunk that was started and whose metrics have not been fetched."""

    start: int  # meta-iterations done before it
    num_updates: int
    metrics: Metrics  # leading axis chunk_size


class _Clock:
    """Spreads the time between two fetches evenly over the iterations that it brought."""

    def __init__(self, wall_s: float, steps_per_update: int):
        self.wall_s, self.steps_per_update = wall_s, steps_per_update
        self.last = time.perf_counter()

    def skip(self) -> None:
        """Adds the time since the last reading to no iteration's speed."""
        now = time.perf_counter()
        self.wall_s, self.last = self.wall_s + now - self.last, now

    def read(self, chunk: _Pending) -> Iterator[dict[str, float]]:
        """Counters of the chunk's iterations."""
        before = self.wall_s
        elapsed = time.perf_counter() - self.last
        self.skip()
        for i in range(1, chunk.num_updates + 1):
            meta_iteration = chunk.start + i
            yield {
                "meta_iteration": meta_iteration,
                "env_steps": meta_iteration * self.steps_per_update,
                "wall_s": before + elapsed * i / chunk.num_updates,
                "steps_per_s": chunk.num_updates * self.steps_per_update / max(elapsed, 1e-9),
            }


def fit(
    learner: Learner,
    state: LearnerState,
    mesh: Mesh,
    schedule: Schedule,
    callbacks: Callbacks,
    wall_s: float = 0.0,
) -> FitResult:
    """Trains from ``state`` to ``schedule.num_iterations`` meta-iterations.

    The next chunk is started before the metrics of the last one are fetched; only a checkpoint
    waits for the state itself. A state that is not finite is never handed to ``save``.

    Args:
      learner: whose update runs; with ``over_seeds``, that of several runs side by side.
      state: first or restored state; donated.
      mesh: the one that ``learner`` was built for.
      schedule: sizes.
      callbacks: where metrics and states go.
      wall_s: seconds that earlier parts of the run took.

    Raises:
      NonFiniteError: after the offending iteration's metrics were delivered.
    """
    chunk = compile_chunk(learner, schedule.chunk_size)
    done = iterations_done(state)
    state = replicate(state, mesh)
    clock = _Clock(wall_s, learner.steps_per_update)
    pending: _Pending | None = None
    first = True
    while done < schedule.num_iterations:
        size = next_chunk_size(schedule, done)
        with callbacks.compiling() if first else contextlib.nullcontext():
            state, metrics = chunk(state, replicate(np.int32(size), mesh))
        if first:
            clock.skip()
            first = False
        if pending is not None:
            _deliver(pending, state, clock, callbacks)
        pending = _Pending(done, size, metrics)
        done += size
        stop = callbacks.should_stop()
        if stop or done % schedule.checkpoint_every == 0 or done == schedule.num_iterations:
            _deliver(pending, state, clock, callbacks)
            pending = None
            callbacks.save(done, local(state))
            clock.skip()
        if stop:
            break
    return FitResult(local(state), done, finished=done >= schedule.num_iterations)


def _deliver(chunk: _Pending, state: LearnerState, clock: _Clock, callbacks: Callbacks) -> None:
    """Fetches a chunk's metrics and hands them on, one iteration at a time.

    Raises:
      NonFiniteError: one is not finite; it has ``state``, the newest.
    """
    fetched = jax.device_get(chunk.metrics)
    columns = {name: x.reshape(len(x), -1) for name, x in fetched.items()}  # iterations, seeds
    for i, counters in enumerate(clock.read(chunk)):
        members = range(columns["finite"].shape[1])
        rows = [{name: float(x[i, m]) for name, x in columns.items()} for m in members]
        callbacks.on_metrics([counters | row for row in rows])
        broken = [m for m in members if rows[m]["finite"] != 1.0]
        if broken:
            names = [n for n in columns if not all(math.isfinite(rows[m][n]) for m in broken)]
            raise NonFiniteError(chunk.start + i + 1, local(state), broken, names)


class Replayed(NamedTuple):
    """An update that was run a second time."""

    finite: bool
    leaves: list[str]  # names of the state's arrays that are not finite after it
    before: LearnerState
    after: LearnerState


def replay(
    learner: Learner, state: LearnerState, mesh: Mesh, chunk_size: int, meta_iteration: int
) -> Replayed:
    """Runs the updates up to ``meta_iteration`` again, to the bit as ``fit`` has run them.

    Args:
      learner: as given to ``fit``.
      state: from before that iteration; donated.
      mesh: as given to ``fit``.
      chunk_size: the same.
      meta_iteration: whose update is looked at.
    """
    chunk = compile_chunk(learner, chunk_size)
    start, last = iterations_done(state), meta_iteration - 1
    state = replicate(state, mesh)
    for done in range(start, last, chunk_size):
        state, _ = chunk(state, replicate(np.int32(min(chunk_size, last - done)), mesh))
    before = jax.tree.map(lambda x: x.copy(), local(state))  # the state itself is donated
    state, metrics = chunk(state, replicate(np.int32(1), mesh))
    finite = bool(np.all(np.asarray(metrics["finite"])[0] == 1.0))
    after = local(state)
    names = [
        jax.tree_util.keystr(path, simple=True, separator=".")
        for path, leaf in jax.tree_util.tree_leaves_with_path(after)
        if jnp.issubdtype(leaf.dtype, jnp.floating) and not jnp.isfinite(leaf).all()
    ]
    return Replayed(finite, names, before, after)


def iterations_done(state: LearnerState) -> int:
    """Updates that have led to a state; all seeds are as far."""
    return int(jnp.ravel(state.iteration)[0])


class StopSignal:
    """Turns the first of ``SIGNALS`` into a wish to stop; the second one acts as usual.

    With several processes it suffices that one receives it: they agree whenever they ask.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)  # the last: a cluster preempts

    def __init__(self, notify: Callable[[signal.Signals], None] = lambda _: None) -> None:
        """Does nothing until entered; ``notify`` is called as soon as a signal is seen."""
        self.notify = notify
        self.received: signal.Signals | None = None
        self._previous: dict[int, object] = {}

    def __call__(self) -> bool:
        """Whether any process has received a signal."""
        return self.agreed() is not None

    def agreed(self) -> signal.Signals | None:
        """The signal that any process has received; of several, the one with the highest number."""
        number = highest(self.received or 0)
        return signal.Signals(number) if number else None

    def __enter__(self) -> "StopSignal":
        for number in self.SIGNALS if self.received is None else ():  # entered again, it remembers
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _receive(self, number: int, _frame: object) -> None:
        self.received = signal.Signals(number)
        self._restore()
        self.notify(self.received)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]
        self._previous.clear()
