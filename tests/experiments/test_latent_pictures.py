"""Latent distributions on a plane."""

import numpy as np
import pytest

import latent_pictures
from explorax.types import Gaussian
from explorax_envs.goals import GoalTask
from explorax_envs.push.drawing import BLOCK_COLOURS
from explorax_envs.push.task import PushTask
from latent_pictures import colours_of, ellipse, on_plane
from pages import latents
from pages.page import Text
from presets import PRESETS
from run_directory import RunDirectory


def gaussian(mean, std) -> Gaussian:
    return Gaussian(
        np.array(mean, float), np.log(np.broadcast_to(std, np.shape(mean)).astype(float))
    )


def test_two_dimensions_are_drawn_as_they_are():
    plane = on_plane(gaussian([[1.0, 2.0]], [[0.5, 0.25]]))
    np.testing.assert_array_equal(plane.mean, [[1.0, 2.0]])
    np.testing.assert_allclose(plane.covariance, [[[0.25, 0.0], [0.0, 0.0625]]])
    drawn = ellipse(plane.mean[0], plane.covariance[0])
    assert drawn.center == (1.0, 2.0)
    assert sorted((drawn.width, drawn.height)) == pytest.approx([0.5, 1.0])
    edge = drawn.get_verts() - drawn.center
    assert np.abs(edge).max(axis=0) == pytest.approx([0.5, 0.25], rel=1e-2)


def test_of_more_dimensions_those_are_drawn_along_which_tasks_differ():
    mean = np.zeros((5, 4))
    mean[:, 2], mean[:, 0] = [-2, -1, 0, 1, 2], [0.1, -0.2, 0.2, -0.2, 0.1]
    plane = on_plane(gaussian(mean, [0.1, 0.2, 0.3, 0.4]))
    np.testing.assert_allclose(np.abs(plane.mean), np.abs(mean[:, [2, 0]]), atol=1e-12)
    assert plane.covariance[0] == pytest.approx(np.diag([0.09, 0.01]), abs=1e-12)
    assert "principal axis 1 of μ (99% of its variance)" in plane.names[0]


@pytest.mark.parametrize("shape", [(3, 1), (1, 2), (1, 5), (2, 64)])
def test_any_number_of_tasks_and_dimensions_is_drawn(tmp_path, shape):
    tasks = GoalTask(np.ones((shape[0], 2)))
    latent_pictures.latent_space(tmp_path / "a.png", gaussian(np.zeros(shape), 1.0), tasks)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_goals_are_told_apart_by_their_direction():
    colours = colours_of(GoalTask(np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 1.0]])))
    assert colours.scale is not None
    assert (colours.scale.norm.vmin, colours.scale.norm.vmax) == (0.0, 90.0)
    np.testing.assert_array_equal(colours.of_tasks[1], colours.of_tasks[2])


def test_tasks_of_push_have_the_colour_of_the_block_that_counts():
    tasks = PushTask(np.array([3, 0, 3]), np.ones((3, 2)), np.zeros((3, 13)))
    colours = colours_of(tasks)
    assert colours.of_tasks == [BLOCK_COLOURS[3], BLOCK_COLOURS[0], BLOCK_COLOURS[3]]
    assert colours.legend == {f"block {i}": colour for i, colour in enumerate(BLOCK_COLOURS)}
    assert colours.scale is None


@pytest.mark.parametrize(
    ("preset", "words"),
    [
        ("point-rl2", ["no latent", "remembers"]),
        ("push-scratch", ["no latent", "alone"]),
    ],
)
def test_methods_without_inner_steps_say_so(tmp_path, preset, words):
    section = latents.latent_section(RunDirectory(tmp_path, PRESETS[preset], "id"), [])
    texts = [block.text for block in section.blocks if isinstance(block, Text)]
    assert len(texts) == len(section.blocks) == len(words)
    assert all(word in text for word, text in zip(words, texts, strict=True))
