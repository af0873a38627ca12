"""Pictures of how a task is explored: a panel per row and stage, what they show, refusals."""

import numpy as np
import pytest
from PIL import Image

from explorax_envs import ant, point, push, wheeled
from explorax_envs.push.drawing import BLOCK, HAND, OTHER_PATH

SUITES = [(push, 26), (wheeled, 12), (ant, 41), (point, 2)]
NUM_STEPS = 20
GOAL = np.array([0.9, 0.1])
TASK = push.PushTask(np.int32(1), GOAL, np.zeros(13))


def pushes(*moved: int) -> np.ndarray:
    """(2, T, 26): two episodes in which the hand and some blocks go 0.4 m to the right."""
    obs = np.zeros((2, NUM_STEPS, 26))
    obs[..., 3:13] = np.stack([np.full(5, 0.5), np.linspace(-0.4, 0.4, 5)], -1).reshape(-1)
    way = np.linspace(0, 0.4, NUM_STEPS)
    obs[..., 0] = way
    for block in moved:
        obs[..., 3 + 2 * block] += way
    return obs


def paths_of(ax, colour: str) -> int:
    """How many paths of a colour there are."""
    return sum(line.get_color() == colour and len(line.get_xdata()) > 1 for line in ax.get_lines())


@pytest.mark.parametrize(("suite", "obs_size"), SUITES)
def test_every_suite_has_a_panel_per_row_and_stage(suite, obs_size, tmp_path, drawn):
    steps = np.random.default_rng(0).normal(scale=0.02, size=(2, 3, 4, NUM_STEPS, obs_size))
    task = TASK if suite is push else suite.GoalTask(GOAL)
    names = [f"{row}{column}" for row in "ab" for column in range(3)]
    path = tmp_path / "paths.png"
    suite.render_paths(
        steps.cumsum(axis=-2), task, path, names=names, rows=["run a", "run b"], title="a title"
    )
    (figure,) = drawn
    assert [ax.get_title(loc="left") for ax in figure.axes] == names
    texts = [[text.get_text() for text in ax.texts] for ax in figure.axes]
    assert texts == [["run a"], [], [], ["run b"], [], []]
    for ax in figure.axes:
        (star,) = (line for line in ax.get_lines() if line.get_marker() == "*")
        np.testing.assert_array_equal(star.get_xydata(), GOAL[None])
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert 1200 < image.width < 1600
    assert path.stat().st_size < 1_000_000


def test_only_what_moved_leaves_a_path_and_the_block_that_counts_has_its_colour(tmp_path, drawn):
    obs = np.stack([pushes(), pushes(1), pushes(0, 3)])
    push.render_paths(obs[None], TASK, tmp_path / "paths.png", names=["none", "it", "others"])
    found = [[paths_of(ax, c) for c in (HAND, BLOCK, OTHER_PATH)] for ax in drawn[0].axes]
    assert found == [[2, 0, 0], [2, 2, 0], [2, 0, 4]]


def test_all_panels_have_the_same_limits_and_only_the_hand_may_leave_them(tmp_path, drawn):
    near, hand, block = (np.stack([pushes(1)] * 3)[None] for _ in range(3))
    hand[0, 2, 0, -1, 0] = block[0, 2, 0, -1, 3] = 4.0
    for obs in (near, hand, block):
        push.render_paths(obs, TASK, tmp_path / "paths.png", names=["a", "b", "c"])
    limits = [{ax.get_xlim() for ax in figure.axes} for figure in drawn]
    assert [len(seen) for seen in limits] == [1, 1, 1]
    assert limits[0] == limits[1]
    assert max(limits[2].pop()) > 4.0


@pytest.mark.parametrize(
    ("obs", "target", "rows", "message"),
    [
        (np.zeros((2, 3, 26)), "a.png", [], r"shape \(R, C, E, T, 26\); got \(2, 3, 26\)"),
        (np.full((1, 2, 1, 3, 26), np.nan), "a.png", [], "not finite"),
        (np.zeros((1, 2, 1, 3, 26)), "a.gif", [], r"target ending must be one of \.png; got"),
        (np.zeros((1, 3, 1, 3, 26)), "a.png", [], r"names and rows .* \(3, 1\); got \(2, 1\)"),
        (np.zeros((1, 2, 1, 3, 26)), "a.png", ["a", "b"], r"\(2, 1\); got \(2, 2\)"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, obs, target, rows, message):
    with pytest.raises(ValueError, match=message):
        push.render_paths(obs, TASK, tmp_path / target, names=["a", "b"], rows=rows)
    assert not list(tmp_path.iterdir())
