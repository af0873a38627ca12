"""The distribution of Push tasks and their files."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import explorax_envs
from explorax_envs.push import PushTask, sample_tasks

save_tasks = partial(explorax_envs.save_tasks, "push")
load_tasks = partial(explorax_envs.load_tasks, "push")


@pytest.fixture(scope="module")
def tasks() -> PushTask:
    return jax.jit(sample_tasks, static_argnums=1)(jax.random.key(0), 1000)


def worlds(tasks: PushTask) -> np.ndarray:
    """World positions (N, 5, 2) of the blocks."""
    blocks = np.asarray(tasks.qpos)[:, 3:].reshape(-1, 5, 2).copy()
    blocks[..., 0] += 0.2 * np.arange(1, 6)
    return blocks


def band(y: np.ndarray) -> np.ndarray:
    return np.clip(np.floor((y + 0.5) / 0.2 + 1e-5), 0, 4).astype(int)


def assert_uniform(values: np.ndarray, low: float, high: float) -> None:
    assert low - 1e-6 <= values.min() < low + 0.01
    assert high - 0.01 < values.max() <= high + 1e-6
    assert values.mean() == pytest.approx((low + high) / 2, abs=0.03 * (high - low))


def test_a_layout_gives_one_task_per_block(tasks):
    np.testing.assert_array_equal(tasks.block, np.tile(np.arange(5), 1000))
    layouts = np.asarray(tasks.qpos).reshape(1000, 5, 13)
    np.testing.assert_array_equal(layouts, layouts[:, :1].repeat(5, axis=1))
    assert len(np.unique(layouts[:, 0], axis=0)) == 1000


def test_the_hand_starts_at_the_origin(tasks):
    np.testing.assert_array_equal(tasks.qpos[:, :3], 0)


def test_every_band_holds_one_block_in_every_order(tasks):
    bands = band(worlds(tasks)[::5, :, 1])
    np.testing.assert_array_equal(np.sort(bands, axis=-1), np.tile(np.arange(5), (1000, 1)))
    assert len(np.unique(bands, axis=0)) == 120


def test_blocks_and_goals_are_uniform_in_their_ranges(tasks):
    blocks, goal = worlds(tasks), np.asarray(tasks.goal)
    assert_uniform(blocks[::5, :, 0], 0.35, 0.65)
    assert_uniform(blocks[::5, :, 1], -0.5, 0.5)
    assert_uniform(goal[:, 0], 0.75, 0.95)
    assert_uniform(goal[:, 1], -0.5, 0.5)


def test_the_goal_lies_in_the_band_of_its_block(tasks):
    block = worlds(tasks)[np.arange(5000), np.asarray(tasks.block)]
    np.testing.assert_array_equal(band(np.asarray(tasks.goal)[:, 1]), band(block[:, 1]))


def test_a_few_tasks_start_inside_the_radius(tasks):
    block = worlds(tasks)[np.arange(5000), np.asarray(tasks.block)]
    inside = np.linalg.norm(block - tasks.goal, axis=-1) <= 0.2
    assert 0.01 < inside.mean() < 0.1


def test_keys_decide(tasks):
    again = sample_tasks(jax.random.key(0), 3)
    np.testing.assert_array_equal(
        again.qpos, sample_tasks(jax.random.wrap_key_data(jnp.array([0, 0], "uint32")), 3).qpos
    )
    assert not np.array_equal(again.qpos, sample_tasks(jax.random.key(1), 3).qpos)


def test_arrays_hold_block_goal_and_joints_in_this_order():
    task = PushTask.from_array(jnp.arange(16.0) / 8 + 2)
    assert task.block == 2
    assert task.block.dtype == jnp.int32
    np.testing.assert_array_equal(task.goal, [2.125, 2.25])
    np.testing.assert_array_equal(task.qpos, np.arange(3, 16) / 8 + 2)


def test_arrays_and_files_round_trip(tasks, tmp_path):
    path = tmp_path / "tasks.npz"
    save_tasks(path, tasks)
    for other in (PushTask.from_array(tasks.to_array()), load_tasks(path)):
        jax.tree.map(np.testing.assert_array_equal, tasks, other)
        assert jax.tree.map(lambda x: x.dtype, tasks) == jax.tree.map(lambda x: x.dtype, other)


def test_saving_overwrites_only_when_told(tasks, tmp_path):
    path = tmp_path / "tasks.npz"
    save_tasks(path, tasks)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        save_tasks(path, tasks)
    save_tasks(path, sample_tasks(jax.random.key(9), 2), overwrite=True)
    assert load_tasks(path).block.shape == (10,)


GOOD = {
    "suite": np.array("push"),
    "block": np.arange(5),
    "goal": np.zeros((5, 2)),
    "qpos": np.zeros((5, 13)),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"goal": None}, "array 'goal' is missing"),
        ({"suite": None}, "array 'suite' is missing"),
        ({"suite": np.array("ant")}, "holds tasks of 'ant', not of 'push'"),
        ({"goal": np.zeros((5, 3))}, r"array 'goal' has shape \(5, 3\), expected \(5, 2\)"),
        ({"qpos": np.zeros((4, 13))}, r"array 'qpos' has shape \(4, 13\), expected \(5, 13\)"),
        ({"block": np.array(3)}, r"array 'block' has shape \(\), expected \('N',\)"),
        ({"qpos": np.full((5, 13), np.nan)}, "array 'qpos' holds values that are not finite"),
        ({"block": np.arange(5) + 1}, r"array 'block' holds ids outside 0\.\.4"),
        ({"block": np.arange(5) + 0.5}, r"array 'block' holds ids outside 0\.\.4"),
        ({"goal": np.full((5, 2), "x")}, "array 'goal' is not numeric"),
    ],
)
def test_bad_files_are_refused_by_name(change, message, tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, **{name: x for name, x in {**GOOD, **change}.items() if x is not None})
    with pytest.raises(ValueError, match=rf"^{path}: {message}") as error:
        load_tasks(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken"])
def test_files_that_are_no_archives_are_refused(content, tmp_path):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{path}: is not a readable"):
        load_tasks(path)


def test_a_single_array_is_no_archive(tmp_path):
    with open(tmp_path / "one.npz", "wb") as file:
        np.save(file, np.zeros((5, 16)))
    with pytest.raises(ValueError, match="is not a readable"):
        load_tasks(tmp_path / "one.npz")


def test_a_missing_file_is_reported_as_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        load_tasks(tmp_path / "none.npz")


def test_malformed_tasks_are_not_saved(tmp_path):
    path = tmp_path / "bad.npz"
    with pytest.raises(ValueError, match="array 'goal' has shape"):
        save_tasks(path, PushTask(jnp.arange(5), jnp.zeros((5, 3)), jnp.zeros((5, 13))))
    assert not path.exists()
