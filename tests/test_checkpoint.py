"""Checkpoints: bit-equal, onto other meshes, and clear about what is unreadable."""

import json
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
import pytest

from explorax.checkpoint import CheckpointError, Checkpoints
from explorax.parallel import replicate, task_mesh
from trees import bits


class State(NamedTuple):
    params: dict
    opt_state: optax.OptState
    nothing: jax.Array  # a leaf without elements, as of a policy without a latent
    key: jax.Array
    iteration: jax.Array


def make(iteration: int = 3) -> State:
    """Adam's moments are not 0, and some numbers are none."""
    params = {"w": jnp.arange(6.0).reshape(2, 3) / 7, "b": jnp.array([jnp.nan, jnp.inf, -0.0])}
    optimizer = optax.adam(0.1)
    gradient = jax.tree.map(lambda x: jnp.nan_to_num(x) + 0.1, params)
    _, opt_state = optimizer.update(gradient, optimizer.init(params), params)
    key = jax.random.fold_in(jax.random.key(5), iteration)
    return State(params, opt_state, jnp.zeros((4, 0)), key, jnp.int32(iteration))


def files(path) -> dict:
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


TEMPLATE = jax.eval_shape(make)


@pytest.mark.parametrize("num_devices", [1, 2])
def test_restoring_is_bit_equal_on_any_mesh(tmp_path, num_devices):
    state, info = replicate(make(), task_mesh(2)), {"config": {"seed": 1, "x": [1, None]}}
    mesh = task_mesh(num_devices)
    assert mesh.size == num_devices
    with Checkpoints(tmp_path / "new" / "c") as checkpoints:
        checkpoints.save(3, state, info)
    with Checkpoints(tmp_path / "new" / "c") as checkpoints:
        assert checkpoints.steps() == [3]
        restored = checkpoints.restore(TEMPLATE, mesh)
    assert restored.step == 3
    assert restored.info == info
    assert jax.tree.structure(restored.state) == jax.tree.structure(state)
    assert bits(restored.state) == bits(state)
    assert bits(jax.random.normal(restored.state.key)) == bits(jax.random.normal(state.key))
    for leaf in jax.tree.leaves(restored.state):
        assert leaf.sharding.is_fully_replicated
        assert leaf.sharding.device_set == set(mesh.devices.flat)


def test_the_state_may_be_donated_after_saving(tmp_path):
    state = make()
    expected = bits(state)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state, {})
        jax.jit(lambda s: jax.tree.map(lambda x: x, s), donate_argnums=0)(state.params)
        assert bits(checkpoints.restore(TEMPLATE, task_mesh(1)).state) == expected


def test_the_newest_are_kept_and_the_latest_is_restored(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (1, 2, 10):
            checkpoints.save(step, make(step), {})
        assert checkpoints.steps() == [2, 10]
        assert int(checkpoints.restore(TEMPLATE, task_mesh(1)).state.iteration) == 10
        assert int(checkpoints.restore(TEMPLATE, task_mesh(1), step=2).state.iteration) == 2


def test_a_step_is_not_saved_twice(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(4, make(), {})
        before = files(tmp_path)
        with pytest.raises(CheckpointError, match=str(tmp_path / "4")):
            checkpoints.save(4, make(5), {})
    assert files(tmp_path) == before


def test_none_to_restore_is_an_error(tmp_path):
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(CheckpointError, match=str(tmp_path)):
        checkpoints.restore(TEMPLATE, task_mesh(1))


# Orbax leaves coroutines behind where it fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("victim", ["state/manifest.ocdbt", "state/_METADATA", "info/metadata"])
@pytest.mark.parametrize("damage", ["junk", "missing"])
def test_an_unreadable_checkpoint_is_one_line_with_its_path(tmp_path, victim, damage):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(7, make(), {"a": 1})
    if damage == "junk":
        (tmp_path / "7" / victim).write_bytes(b"junk")
    else:
        (tmp_path / "7" / victim).unlink()
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(CheckpointError) as caught:
        checkpoints.restore(TEMPLATE, task_mesh(1))
    assert str(tmp_path / "7") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("iteration", lambda s: s._replace(iteration=jax.ShapeDtypeStruct((), jnp.float32))),
        ("iteration", lambda s: s._replace(iteration=jax.ShapeDtypeStruct((2,), jnp.int32))),
        ("params.c", lambda s: s._replace(params={"w": s.params["w"], "c": s.params["b"]})),
        ("nothing", lambda s: s._replace(nothing=jax.ShapeDtypeStruct((4, 1), jnp.float32))),
    ],
    ids=["dtype", "shape", "name", "one leaf more"],
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path, name, change):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make(), {})
        with pytest.raises(CheckpointError, match=f"{tmp_path / '1'}.*{name}"):
            checkpoints.restore(change(TEMPLATE), task_mesh(1))


def test_reading_only_changes_nothing(tmp_path):
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(1, make(), {})
    (tmp_path / "c" / "2.orbax-checkpoint-tmp").mkdir()
    (tmp_path / "c" / "2.orbax-checkpoint-tmp" / "half.json").write_text(json.dumps(1))
    before = files(tmp_path)
    with Checkpoints(tmp_path / "c", read_only=True) as checkpoints:
        assert checkpoints.steps() == [1]
        assert bits(checkpoints.restore(TEMPLATE, task_mesh(1)).state) == bits(make())
    assert files(tmp_path) == before


def test_what_a_killed_save_left_behind_is_no_checkpoint(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make(1), {})
    (tmp_path / "2.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps() == [1]
        checkpoints.save(2, make(2), {})
        assert int(checkpoints.restore(TEMPLATE, task_mesh(1)).state.iteration) == 2
