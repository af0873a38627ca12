"""Checkpoints: bit-equal, onto other meshes, whole or passed over, the best among those kept."""

import errno
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import optax
import pytest

from explorax import checksums
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


@pytest.mark.parametrize(("num_before", "num_devices"), [(2, 1), (2, 2), (1, 2)])
def test_restoring_is_bit_equal_on_any_mesh(tmp_path, num_before, num_devices):
    state = replicate(make(), task_mesh(2, num_before))
    info = {"config": {"seed": 1, "x": [1, None]}}
    mesh = task_mesh(2, num_devices)
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


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
def test_any_damaged_file_is_named_and_the_step_before_is_used(tmp_path, damage):
    """Every file of a checkpoint, the list of digests and what Orbax writes beside the arrays."""
    with Checkpoints(tmp_path / "sound") as checkpoints:
        for step in (3, 6):
            checkpoints.save(step, make(step), {"a": 1}, score=0.5)
    names = [name for name in files(tmp_path / "sound") if name.parts[0] == "6"]
    assert len(names) > 5
    for i, name in enumerate(names):
        damaged = shutil.copytree(tmp_path / "sound", tmp_path / str(i))
        damage(damaged / name)
        with Checkpoints(damaged, read_only=True) as checkpoints:
            restored = checkpoints.restore(TEMPLATE, task_mesh(1))
        assert restored.step == 3
        assert bits(restored.state) == bits(make(3))
        assert restored.passed_over.keys() == {6}
        assert restored.passed_over[6].startswith(str(name.relative_to("6")))


@pytest.mark.parametrize("step", [None, 7])
def test_without_a_whole_one_the_newest_is_one_line_with_its_file(tmp_path, step):
    with Checkpoints(tmp_path) as checkpoints:
        for each in (5, 7):
            checkpoints.save(each, make(), {"a": 1})
            flip(tmp_path / str(each) / "info" / "metadata")
        with pytest.raises(CheckpointError) as caught:
            checkpoints.restore(TEMPLATE, task_mesh(1), step)
        with pytest.raises(CheckpointError, match=f"{tmp_path / '8'}: is missing"):
            checkpoints.restore(TEMPLATE, task_mesh(1), step=8)
    assert f"{tmp_path / '7'}: info/metadata is not as it was written" in str(caught.value)
    assert ("none of the others" in str(caught.value)) == (step is None)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_without_a_list_is_none(tmp_path):
    """What a kill leaves, and what older versions wrote."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make(), {})
        (tmp_path / "1" / checksums.NAME).unlink()
        with pytest.raises(CheckpointError, match="SHA256SUMS is missing: the save was cut short"):
            checkpoints.restore(TEMPLATE, task_mesh(1))


def test_after_cutting_back_a_damaged_step_is_saved_anew(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for step in (3, 6):
            checkpoints.save(step, make(step), {})
        flip(tmp_path / "6" / checksums.NAME)
        with pytest.raises(CheckpointError, match="a later one"):
            checkpoints.save(5, make(5), {})
        checkpoints.cut_back(3)
        assert checkpoints.steps() == [3]
        for step in (5, 6):
            checkpoints.save(step, make(step), {})
        restored = checkpoints.restore(TEMPLATE, task_mesh(1))
    assert (restored.step, restored.passed_over) == (6, {})


def test_the_best_is_kept_beside_the_newest(tmp_path):
    scores = {1: 0.0, 2: 3.0, 3: 1.0, 4: 2.0, 5: None, 6: 3.0, 7: 1.0, 8: None}
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.best() is None
        for step, score in scores.items():
            checkpoints.save(step, make(step), {}, score)
            if step == 5:
                assert (checkpoints.steps(), checkpoints.best()) == ([2, 4, 5], 2)
        assert checkpoints.steps() == [6, 7, 8], "of equals the later"
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert checkpoints.best() == 6


def test_nothing_is_pickled(tmp_path, monkeypatch):
    """A checkpoint of somebody else runs no code."""
    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, Mock(side_effect=AssertionError(name)))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make(), {"a": 1}, score=0.5)
        assert bits(checkpoints.restore(TEMPLATE, task_mesh(1)).state) == bits(make())
    others = "pickle|dill|joblib|shelve|marshal"
    for folder in ("src", "envs", "experiments"):
        for file in (Path(__file__).parents[1] / folder).rglob("*.py"):
            found = re.search(rf"(import|from) \w*({others})\b|allow_pickle=True", file.read_text())
            assert found is None, file


class Killed(BaseException):
    """Passes everything that handles errors, as kill -9 does."""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_save_that_is_killed_around_its_list_costs_no_checkpoint(tmp_path, monkeypatch, moment):
    """Its files are all there, and nothing has been deleted yet."""
    write = checksums.write

    def killed(directory):
        if moment == "after":
            write(directory)
        raise Killed

    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(1, make(1), {})
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(checksums, "write", killed)
            checkpoints.save(2, make(2), {})
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        assert checkpoints.steps() == [1, 2]
        restored = checkpoints.restore(TEMPLATE, task_mesh(1))
        assert restored.step == (2 if moment == "after" else 1)
        checkpoints.cut_back(restored.step)
        checkpoints.save(3, make(3), {})
        assert checkpoints.steps() == [3]


def test_a_first_save_that_is_cut_short_is_known_from_a_lost_list(tmp_path, monkeypatch):
    """The former costs nothing, the latter may be all of a run."""
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.is_new()
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(checksums, "write", Mock(side_effect=Killed))
            checkpoints.save(2, make(2), {})
    with Checkpoints(tmp_path) as checkpoints:
        assert (checkpoints.steps(), checkpoints.is_new()) == ([2], True)
        checkpoints.cut_back(-1)
        checkpoints.save(2, make(2), {})
        assert not checkpoints.is_new()
        assert checkpoints.restore(TEMPLATE, task_mesh(1)).step == 2
        (tmp_path / "2" / checksums.NAME).unlink()
        assert not checkpoints.is_new()


# No file may grow beyond 200 kB: the next write fails, as on a full disk. In a process of its
# own, as where a training ends so: Orbax's threads write on for a moment after the error.
REFUSED = """
import resource, sys
import numpy as np
from explorax.checkpoint import CheckpointError, Checkpoints

noise = np.random.default_rng(0).normal(size=300_000)
with Checkpoints(sys.argv[1]) as checkpoints:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    try:
        checkpoints.save(2, {"w": noise, "b": noise}, {})
    except CheckpointError as error:
        print(error)
"""


def test_a_disk_that_refuses_a_save_leaves_the_one_before(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make(1), {})
    before = files(tmp_path / "1")
    command = [sys.executable, "-c", REFUSED, str(tmp_path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    (said,) = done.stdout.splitlines()
    assert said.startswith(f"{tmp_path / '2'}: cannot be written")
    assert "File too large" in said
    assert files(tmp_path / "1") == before
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.restore(TEMPLATE, task_mesh(1)).step == 1
        checkpoints.save(2, make(2), {})
        assert checkpoints.restore(TEMPLATE, task_mesh(1)).step == 2


def test_a_full_disk_is_noticed_before_a_save(tmp_path, monkeypatch):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make(1), {})
        before = files(tmp_path)
        with monkeypatch.context() as patch, pytest.raises(CheckpointError) as caught:
            patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=500_000))
            checkpoints.save(2, make(2), {})
    assert str(caught.value) == (
        f"{tmp_path / '2'}: cannot be written (OSError: [Errno 28] No space left on device: "
        "1.0 MB are needed, 0.5 MB are free)"
    )
    assert files(tmp_path) == before


def test_a_full_disk_at_the_list_leaves_the_one_before(tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make(1), {})
        with monkeypatch.context() as patch, pytest.raises(CheckpointError, match="No space left"):
            patch.setattr(Path, "write_bytes", Mock(side_effect=full))
            checkpoints.save(2, make(2), {})
        assert checkpoints.restore(TEMPLATE, task_mesh(1)).step == 1


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
