"""Chunks: one program, donated, without a word to the host; where they end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import explorax_envs
import tiny_runs
from compilations import compilations, host_operations
from explorax.meta_update import MetaState, build
from explorax.parallel import replicate, task_mesh
from explorax.train import Schedule, compile_chunk, next_chunk_size
from trees import bits

CHUNK = 4
MESH = task_mesh(4)


@pytest.fixture(scope="module")
def learner():
    """A real one, as small as it gets."""
    return build(explorax_envs.make("point"), tiny_runs.META, MESH)


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
