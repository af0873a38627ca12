"""Chunks: one program, donated, fetched late; the loop's order, signals and broken states."""

import os
import signal
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import explorax.train
import explorax_envs
from compilations import compilations, host_operations
from explorax.config import MetaConfig, PPOConfig
from explorax.meta_update import MetaLearner, MetaState, build, over_seeds
from explorax.parallel import replicate, task_mesh
from explorax.train import (
    Callbacks,
    NonFiniteError,
    Schedule,
    StopSignal,
    compile_chunk,
    fit,
    next_chunk_size,
)
from trees import bits

CHUNK = 4
MESH = task_mesh(4)


@pytest.fixture(scope="module")
def learner():
    """A real one, as small as it gets."""
    config = MetaConfig(
        num_train_tasks=4,
        meta_batch_size=4,
        num_episodes=4,
        hidden_sizes=(8,),
        ppo=PPOConfig(num_epochs=2),
    )
    return build(explorax_envs.make("point"), config, MESH)


@pytest.fixture(scope="module")
def chunk(learner):
    return compile_chunk(learner, CHUNK)


def first_state(learner) -> MetaState:
    return replicate(jax.jit(learner.init)(jax.random.key(0)), MESH)


def length(num_updates: int) -> jax.Array:
    return replicate(np.int32(num_updates), MESH)


def assert_bit_equal(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    assert bits(left) == bits(right)


def toy_learner(bad_at: int | None = None, seeds: bool = False) -> MetaLearner:
    """Counts; its parameters are said to be broken from update ``bad_at`` on.

    With ``seeds`` it is that of two runs, of which only the second breaks.
    """

    def init(key) -> Any:
        return MetaState(jnp.zeros(3), (), (), key, jnp.zeros((), jnp.int32))  # pyright: ignore

    def update(state):
        iteration = state.iteration + 1
        finite = jnp.ones(()) if bad_at is None else (iteration < bad_at).astype(jnp.float32)
        if seeds:
            finite = jnp.where(jax.random.key_data(state.key)[-1] == 0, 1.0, finite)
        state = state._replace(params=state.params + 1.0, iteration=iteration)
        return state, {"finite": finite, "count": iteration.astype(jnp.float32)}

    learner = MetaLearner(init, update, None, None, 10)  # pyright: ignore
    return over_seeds(learner) if seeds else learner


class Log:
    """What the loop said."""

    def __init__(self, stop_after: int | None = None):
        self.metrics: list[dict[str, float]] = []
        self.saved: list[int] = []
        self.stop_after = stop_after

    def callbacks(self) -> Callbacks:
        def save(step, state):
            assert np.all(np.asarray(state.iteration) == step)
            self.saved.append(step)

        def should_stop():
            return self.stop_after is not None and len(self.metrics) >= self.stop_after

        return Callbacks(lambda rows: self.metrics.extend(rows), save, should_stop)


def test_three_calls_compile_once(learner):
    """Chunks of different lengths included."""
    traced: list[int] = []

    def update(state):
        traced.append(1)
        return learner.update(state)

    state, sizes = first_state(learner), [length(n) for n in (CHUNK, CHUNK - 1, CHUNK)]
    chunk = compile_chunk(learner._replace(update=update), CHUNK)
    with compilations() as compiled:
        for size in sizes:
            state, metrics = chunk(state, size)
        jax.block_until_ready(metrics)
    assert len(compiled) == 1
    assert len(traced) == 1


def test_short_chunks_equal_a_long_one(learner, chunk):
    long_state, long_metrics = chunk(first_state(learner), length(4))
    state, first = chunk(first_state(learner), length(3))
    state, second = chunk(state, length(1))
    assert_bit_equal(state, long_state)
    for name, column in long_metrics.items():
        joined = np.concatenate([first[name][:3], second[name][:1]])
        np.testing.assert_array_equal(joined, column)
    assert int(state.iteration) == 4
    assert np.ptp(long_metrics["return_post"]) > 0, "all entries are the same"


def test_a_chunk_is_its_updates_one_by_one(learner, chunk):
    """To rounding: one update alone is another program."""
    state, metrics = chunk(first_state(learner), length(2))
    alone = first_state(learner)
    update = jax.jit(learner.update)
    for i in range(2):
        alone, expected = update(alone)
        for name, value in expected.items():
            np.testing.assert_allclose(metrics[name][i], value, rtol=2e-3, atol=1e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4),
        state.params,
        alone.params,
    )


def test_a_chunk_moves_nothing_between_host_and_device(learner, chunk):
    state, size = first_state(learner), length(2)
    with jax.transfer_guard("disallow"):
        state, metrics = chunk(state, size)
        state, metrics = chunk(state, size)
    assert float(metrics["finite"][1]) == 1.0
    with pytest.raises(Exception, match="transfer"), jax.transfer_guard("disallow"):
        jax.jit(lambda x: x)(np.ones(3))  # the guard is on duty


def test_a_chunk_asks_nothing_of_its_host(learner, chunk):
    """What the guard does not see on a CPU."""
    assert not host_operations(chunk.lower(first_state(learner), length(2)))
    spied = jax.jit(lambda x: jax.debug.callback(print, x))
    assert host_operations(spied.lower(jnp.ones(3)))


def test_the_state_is_donated(learner, chunk):
    state = first_state(learner)
    leaf = state.params.latent.mean
    chunk(state, length(1))
    assert leaf.is_deleted()


@pytest.mark.parametrize(
    ("schedule", "sizes"),
    [
        (Schedule(10, 4, 100), [4, 4, 2]),
        (Schedule(10, 4, 5), [4, 1, 4, 1]),
        (Schedule(3, 8, 8), [3]),
        (Schedule(6, 3, 3), [3, 3]),
    ],
)
def test_chunks_end_at_checkpoints_and_at_the_end(schedule, sizes):
    done, found = 0, []
    while done < schedule.num_iterations:
        found.append(next_chunk_size(schedule, done))
        done += found[-1]
    assert found == sizes


def test_fit_delivers_every_iteration_once_and_saves_on_schedule():
    learner, log = toy_learner(), Log()
    state = learner.init(jax.random.key(0))
    result = fit(learner, state, MESH, Schedule(11, 3, 5), log.callbacks(), wall_s=100.0)
    assert [m["meta_iteration"] for m in log.metrics] == list(range(1, 12))
    assert [m["count"] for m in log.metrics] == [float(n) for n in range(1, 12)]
    assert [m["env_steps"] for m in log.metrics] == [10 * n for n in range(1, 12)]
    wall = [m["wall_s"] for m in log.metrics]
    assert wall[0] > 100.0
    assert wall == sorted(wall)
    assert all(m["steps_per_s"] > 0 for m in log.metrics)
    assert log.saved == [5, 10, 11]
    assert result.finished
    assert result.meta_iteration == 11


def test_fit_goes_on_from_the_state():
    learner, log = toy_learner(), Log()
    state = learner.init(jax.random.key(0))._replace(iteration=jnp.int32(7))
    fit(learner, state, MESH, Schedule(9, 5, 5), log.callbacks())
    assert [m["meta_iteration"] for m in log.metrics] == [8, 9]


def test_metrics_are_fetched_one_chunk_late(monkeypatch):
    """The next chunk is on its way before the host waits for the last one."""
    order: list[str] = []

    class Column:
        def __init__(self, start):
            self.start = start

        def __array__(self, dtype=None, copy=None):
            order.append(f"fetch {self.start}")
            return np.ones(2)

    def compile_chunk(learner, chunk_size):
        def chunk(state, num_updates):
            start = int(state.iteration)
            order.append(f"start {start}")
            state = state._replace(iteration=state.iteration + num_updates)
            return state, {"finite": Column(start)}

        return chunk

    monkeypatch.setattr(explorax.train, "compile_chunk", compile_chunk)
    learner, log = toy_learner(), Log()
    fit(learner, learner.init(jax.random.key(0)), MESH, Schedule(6, 2, 100), log.callbacks())
    assert order == ["start 0", "start 2", "fetch 0", "start 4", "fetch 2", "fetch 4"]


@pytest.mark.parametrize("bad_at", [4, 6, 7])
def test_a_broken_state_is_named_and_never_saved(bad_at):
    learner, log = toy_learner(bad_at), Log()
    state = learner.init(jax.random.key(0))
    with pytest.raises(NonFiniteError, match=f"meta-iteration {bad_at}$"):
        fit(learner, state, MESH, Schedule(20, 3, 3), log.callbacks())
    assert [m["meta_iteration"] for m in log.metrics] == list(range(1, bad_at + 1))
    assert log.metrics[-1]["finite"] == 0.0
    assert log.saved == [step for step in (3, 6) if step < bad_at]


def test_a_seed_that_breaks_beside_a_sound_one_is_named():
    learner, log = toy_learner(5, seeds=True), Log()
    state = learner.init(jax.vmap(jax.random.key)(jnp.arange(2)))
    with pytest.raises(NonFiniteError, match=r"meta-iteration 5$") as caught:
        fit(learner, state, MESH, Schedule(20, 3, 3), log.callbacks())
    assert caught.value.members == (1,)
    assert [m["finite"] for m in log.metrics] == [1.0] * 9 + [0.0], "a line for each seed"
    assert log.saved == [3]


def test_a_wish_to_stop_saves_at_the_end_of_the_chunk():
    learner, log = toy_learner(), Log(stop_after=2)
    state = learner.init(jax.random.key(0))
    result = fit(learner, state, MESH, Schedule(100, 2, 50), log.callbacks())
    assert not result.finished
    assert log.saved == [result.meta_iteration] == [len(log.metrics)] == [4]


def test_the_first_call_alone_is_called_compiling():
    entered = []

    class Spinner:
        def __enter__(self):
            entered.append(1)

        def __exit__(self, *_):
            pass

    learner, log = toy_learner(), Log()
    callbacks = log.callbacks()._replace(compiling=Spinner)
    fit(learner, learner.init(jax.random.key(0)), MESH, Schedule(6, 2, 6), callbacks)
    assert entered == [1]


@pytest.mark.parametrize("number", StopSignal.SIGNALS)
def test_the_first_signal_is_a_wish_and_the_second_acts_as_before(number):
    caught, seen = [], []
    previous = signal.signal(number, lambda n, _: caught.append(n))
    try:
        with StopSignal(seen.append) as stop:
            assert not stop()
            os.kill(os.getpid(), number)
            assert stop()
            assert stop.received == number
            os.kill(os.getpid(), number)
        assert caught == [number]
        assert seen == [number]
        os.kill(os.getpid(), number)
        assert caught == [number, number]
    finally:
        signal.signal(number, previous)
