"""Pictures of skills: valid files of the right size that show the paths, and clear refusals."""

import numpy as np
import pytest
from PIL import Image

from explorax_envs import ant, point, push, wheeled
from explorax_envs.push.drawing import BLOCK_COLOURS

SUITES = [(push, 26), (wheeled, 12), (ant, 41), (point, 2)]
NUM_STEPS = 30


def walks(*shape: int) -> np.ndarray:
    """Random walks of all numbers, from rest."""
    steps = np.random.default_rng(0).normal(scale=0.05, size=shape)
    steps[..., 0, :] = 0
    return steps.cumsum(axis=-2)


@pytest.fixture(scope="module")
def pushes() -> np.ndarray:
    """(K, E, T, 26): in skill k of five the hand takes block k along to the right."""
    obs = np.zeros((5, 2, NUM_STEPS, 26))
    obs[..., 3:13] = np.stack([np.full(5, 0.5), np.linspace(-0.4, 0.4, 5)], -1).reshape(-1)
    way = np.linspace(0, 0.6, NUM_STEPS)
    for skill in range(5):
        obs[skill, ..., 0] = way
        obs[skill, ..., 1] = obs[skill, ..., 4 + 2 * skill]
        obs[skill, ..., 3 + 2 * skill] += way
    return obs


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def seen(picture: np.ndarray, colour: str) -> int:
    """Pixels of about that colour."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(picture - rgb).sum(axis=-1) < 60).sum())


@pytest.mark.parametrize(("suite", "obs_size"), SUITES)
def test_every_suite_draws_its_skills(suite, obs_size, tmp_path):
    obs = walks(3, 2, NUM_STEPS, obs_size)
    suite.render_skills(obs, tmp_path / "skills.png", names=["a", "b", "c"], title="a title")
    with Image.open(tmp_path / "skills.png") as image:
        assert image.format == "PNG"
    suite.animate_skills(obs[:, 0], tmp_path / "skills.gif", names=["a", "b", "c"], fps=20)
    with Image.open(tmp_path / "skills.gif") as image:
        assert (image.format, image.n_frames) == ("GIF", NUM_STEPS)
        assert image.info["duration"] == 50


def test_fifty_skills_fit_on_a_screen_and_twelve_moving_ones_into_an_attachment(pushes, tmp_path):
    push.render_skills(np.tile(pushes, (10, 1, 1, 1)), tmp_path / "skills.png")
    with Image.open(tmp_path / "skills.png") as image:
        assert 1600 < image.width <= 2400
    push.animate_skills(np.tile(pushes, (3, 1, 1, 1))[:12, 0], tmp_path / "skills.gif")
    for name in ("skills.png", "skills.gif"):
        assert (tmp_path / name).stat().st_size < 2_000_000


def test_a_picture_shows_the_blocks_that_move(pushes, tmp_path):
    for skill in (1, 3):
        push.render_skills(pushes[[skill]], tmp_path / f"{skill}.png")
    one, three = pixels(tmp_path / "1.png"), pixels(tmp_path / "3.png")
    colours = BLOCK_COLOURS
    for moved, still in ((1, 3), (3, 1)):
        more, less = (one, three) if moved == 1 else (three, one)
        assert seen(more, colours[moved]) > seen(less, colours[moved]) + 100
        assert seen(less, colours[still]) > seen(more, colours[still]) + 100


def test_all_panels_have_the_same_limits_and_only_the_hand_may_leave_them(pushes, tmp_path):
    sizes = []
    for what, index in (("near", None), ("hand", 0), ("block", 3)):
        obs = pushes.copy()
        if index is not None:
            obs[2, 0, -1, index] = 4.0
        push.render_skills(obs, tmp_path / f"{what}.png")
        sizes.append(pixels(tmp_path / f"{what}.png").shape)
    assert sizes[0] == sizes[1]
    assert sizes[2][0] < 0.7 * sizes[0][0], "the panels are as wide as the farthest block is away"


def test_an_animation_moves_from_the_start_to_the_end_in_at_most_so_many_frames(pushes, tmp_path):
    path = tmp_path / "skills.gif"
    push.animate_skills(pushes[:, 0], path, max_frames=7)
    with Image.open(path) as image:
        assert image.n_frames == 7
        frames = []
        for index in (0, 6):
            image.seek(index)
            frames.append(np.asarray(image.convert("RGB")).astype(int))
    assert (np.abs(frames[0] - frames[1]).sum(axis=-1) > 100).mean() > 0.005


@pytest.mark.parametrize(
    ("obs", "target", "names", "message"),
    [
        (np.zeros((2, 3, 26)), "a.png", None, r"shape \(K, E, T, 26\); got \(2, 3, 26\)"),
        (np.zeros((2, 1, 3, 25)), "a.png", None, r"\(K, E, T, 26\); got \(2, 1, 3, 25\)"),
        (np.zeros((0, 1, 3, 26)), "a.png", None, r"got \(0, 1, 3, 26\)"),
        (np.full((2, 1, 3, 26), np.nan), "a.png", None, "not finite"),
        (np.zeros((2, 1, 3, 26)), "a.gif", None, r"target ending must be one of \.png; got"),
        (np.zeros((2, 1, 3, 26)), "a.png", ["a"], "names must be one per skill, 2; got 1"),
    ],
)
def test_bad_arguments_of_a_picture_are_refused(tmp_path, obs, target, names, message):
    with pytest.raises(ValueError, match=message):
        push.render_skills(obs, tmp_path / target, names=names)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("obs", "kwargs", "message"),
    [
        (np.zeros((2, 1, 3, 26)), {}, r"shape \(K, T, 26\); got \(2, 1, 3, 26\)"),
        (np.zeros((13, 3, 26)), {}, "at most 12 skills; got 13"),
        (np.zeros((2, 3, 26)), {"path": "a.png"}, r"path ending must be one of \.gif"),
        (np.zeros((2, 3, 26)), {"fps": 0}, "fps must be at least 1; got 0"),
        (np.zeros((2, 3, 26)), {"max_frames": 0}, "max_frames must be at least 1; got 0"),
        (np.zeros((2, 3, 26)), {"names": ["a"]}, "names must be one per skill, 2; got 1"),
    ],
)
def test_bad_arguments_of_an_animation_are_refused(tmp_path, obs, kwargs, message):
    path = tmp_path / kwargs.pop("path", "a.gif")
    with pytest.raises(ValueError, match=message):
        push.animate_skills(obs, path, **kwargs)
    assert not list(tmp_path.iterdir())
