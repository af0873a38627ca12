"""The loop: its order, what it delivers and saves, signals, and states that break."""

import os
import signal
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import explorax.train
from explorax.meta_update import MetaLearner, MetaState
from explorax.parallel import task_mesh
from explorax.train import (
    Callbacks,
    NonFiniteError,
    Schedule,
    StopSignal,
    fit,
    iterations_done,
    replay,
)
from explorax.varied import over_seeds
from trees import bits

MESH = task_mesh(4)


def toy_learner(bad_at: int | None = None, seeds: bool = False, what="params") -> MetaLearner:
    """Counts; parameters, optimiser state or return are no numbers from update ``bad_at`` on.

    With ``seeds`` it is that of two runs, of which only the second breaks.
    """

    def init(key) -> Any:
        return MetaState(jnp.zeros(3), jnp.zeros(2), (), key, jnp.zeros((), jnp.int32))  # pyright: ignore

    def update(state):
        iteration = state.iteration + 1
        broken = jnp.array(False) if bad_at is None else iteration >= bad_at
        if seeds:
            broken &= jax.random.key_data(state.key)[-1] != 0
        count = iteration.astype(jnp.float32)
        values = {"params": state.params + 1.0, "outer": state.outer, "return_post": count}
        values[what] = jnp.where(broken, jnp.nan, values[what])
        metrics = {"finite": 1.0 - broken, "count": count, "return_post": values["return_post"]}
        params, outer = values["params"], values["outer"]
        return state._replace(params=params, outer=outer, iteration=iteration), metrics

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


@pytest.mark.parametrize(
    ("what", "metrics", "leaves"),
    [
        ("params", (), ["params"]),
        ("outer", (), ["outer"]),
        ("return_post", ("return_post",), []),
    ],
)
@pytest.mark.parametrize("seeds", [False, True])
def test_a_replay_names_what_broke(what, metrics, leaves, seeds):
    """In the state right after the update, not in one that later updates have spoilt."""
    learner, log = toy_learner(5, seeds, what), Log()

    def first():
        return learner.init(jax.vmap(jax.random.key)(jnp.arange(2)) if seeds else jax.random.key(0))

    with pytest.raises(NonFiniteError) as caught:
        fit(learner, first(), MESH, Schedule(20, 3, 20), log.callbacks())
    assert (caught.value.meta_iteration, caught.value.metrics) == (5, metrics)
    assert iterations_done(caught.value.state) == 9, "of the chunk that was on its way"
    found = replay(learner, first(), MESH, 3, 5)
    assert (found.finite, found.leaves) == (False, leaves)
    assert replay(learner, first(), MESH, 3, 4)[:2] == (True, [])
    assert replay(toy_learner(None, seeds), first(), MESH, 3, 5)[:2] == (True, [])


@pytest.mark.parametrize("bad_at", [1, 5, 7])
def test_a_replay_has_the_states_around_the_update(bad_at):
    """One more update of the state before is the state after, bit for bit."""
    learner = toy_learner(bad_at)
    found = replay(learner, learner.init(jax.random.key(0)), MESH, 3, bad_at)
    assert [iterations_done(s) for s in (found.before, found.after)] == [bad_at - 1, bad_at]
    assert np.isfinite(found.before.params).all()
    again, _ = jax.jit(learner.update)(found.before)
    assert bits(again) == bits(found.after)


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
