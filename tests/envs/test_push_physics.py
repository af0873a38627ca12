"""The physics of Push against MuJoCo's C engine, which solves every contact to convergence."""

import jax
import mujoco
import numpy as np
import pytest
from episodes import NUM_COMPARED, Episodes, pushing_actions, roll

from explorax_envs.mjx_env import Carry
from explorax_envs.push import Push
from explorax_envs.push.scene import grow_boxes_by_margin, scene_xml
from physics import in_mujoco

MILLIMETRE = 1e-3


def in_c(episodes: Episodes, xml: str) -> np.ndarray:
    """Final joint positions (64, 13) of the same episodes in MuJoCo's C engine."""
    qpos = np.asarray(episodes.tasks.qpos)[:NUM_COMPARED]
    return in_mujoco(xml, Carry(qpos, np.zeros_like(qpos)), 2 * episodes.actions[:NUM_COMPARED])


def errors(episodes: Episodes, block_shape: str) -> np.ndarray:
    """Largest error over the joints (m, rad) of each compared episode at its end."""
    end = episodes.obs[:NUM_COMPARED, -1, :13].copy()
    end[:, 3::2] -= 0.2 * np.arange(1, 6)
    return np.abs(end - in_c(episodes, scene_xml(block_shape))).max(axis=-1)


def test_the_compared_episodes_are_rich_in_contacts(exact_episodes):
    moved = np.abs(exact_episodes.obs[:, -1, 3:13] - exact_episodes.obs[:, 0, 3:13])
    counts = (moved.reshape(-1, 5, 2).max(axis=-1) > 0.02).sum(axis=0)
    assert (counts >= 5).all(), counts
    assert counts.sum() >= NUM_COMPARED


def test_exact_discs_follow_mujoco(exact_episodes):
    error = errors(exact_episodes, "disc")
    assert np.median(error) <= 0.1 * MILLIMETRE
    assert np.quantile(error, 0.9) <= 1 * MILLIMETRE


def test_fast_discs_follow_mujoco(fast_episodes):
    error = errors(fast_episodes, "disc")
    assert np.median(error) <= 2 * MILLIMETRE
    assert np.quantile(error, 0.75) <= 20 * MILLIMETRE


@pytest.mark.slow
@pytest.mark.parametrize(("physics", "bound"), [("exact", 4.0), ("fast", 10.0)])
def test_boxes_follow_mujoco(physics, bound):
    env = Push("box", "dense", physics)
    tasks = env.sample_tasks(jax.random.key(1), NUM_COMPARED)
    error = errors(roll(env, tasks, pushing_actions(tasks, seed=1)), "box")
    assert np.median(error) <= bound * MILLIMETRE


def test_boxes_grown_by_the_margin_move_as_with_it(exact_episodes):
    margin = scene_xml("box")
    grown = grow_boxes_by_margin(margin)
    np.testing.assert_allclose(in_c(exact_episodes, grown), in_c(exact_episodes, margin), atol=1e-9)


def test_contacts_are_frictionless_with_a_margin_of_two_millimetres():
    model = mujoco.MjModel.from_xml_string(scene_xml("disc"))
    data = mujoco.MjData(model)
    data.qpos[3:5] = [0.05 - 0.2, 0.0]  # block 0 touches the palm
    mujoco.mj_forward(model, data)
    contact = data.contact[0]
    assert contact.dim == 1
    assert model.opt.iterations == 100  # C solves to convergence
    assert contact.includemargin == pytest.approx(0.002)


def test_one_step_of_the_hand_by_hand():
    """Damping is implicit: v = f dt / (m + d dt)."""
    model = mujoco.MjModel.from_xml_string(scene_xml("box"))
    data = mujoco.MjData(model)
    data.ctrl[:] = [2, 1, -2]
    mujoco.mj_step(model, data)
    expected = [0.02 / (0.046 + 0.005), 0.01 / (0.046 + 0.005), -0.02 / (0.040 + 0.005)]
    np.testing.assert_allclose(data.qvel[:3], expected, rtol=1e-6)
    assert (model.dof_damping[3:] == 1.5).all()


def test_the_shapes_differ_in_the_blocks_alone():
    disc, box = (mujoco.MjModel.from_xml_string(scene_xml(s)) for s in ("disc", "box"))
    assert (disc.geom_type[3:] == mujoco.mjtGeom.mjGEOM_SPHERE).all()
    assert (box.geom_type[3:] == mujoco.mjtGeom.mjGEOM_BOX).all()
    np.testing.assert_allclose(disc.geom_size[3:, 0], 0.03)
    np.testing.assert_allclose(box.geom_size[3:], [[0.03, 0.03, 0.05]] * 5)
    np.testing.assert_array_equal(disc.geom_size[:3], box.geom_size[:3])
    np.testing.assert_allclose(disc.body_mass[1:], [0.046] + 5 * [0.040])
    np.testing.assert_array_equal(disc.dof_invweight0, box.dof_invweight0)
