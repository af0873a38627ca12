"""Pictures of Push: valid files of the right size, and clear refusals."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from explorax_envs.push import Push, PushTask, render

NUM_STEPS = 12
TASK = PushTask(np.int32(1), np.array([0.9, 0.1]), np.zeros(13))


@pytest.fixture(scope="module")
def obs() -> np.ndarray:
    """(T, 26): the hand takes block 1 along to the right."""
    obs = np.zeros((NUM_STEPS, 26), np.float32)
    obs[:, 0] = np.linspace(0.3, 0.8, NUM_STEPS)
    obs[:, 2] = np.linspace(0, 0.5, NUM_STEPS)
    obs[:, 3:13] = np.stack([0.2 * np.arange(2, 7), np.linspace(-0.4, 0.4, 5)], -1).reshape(-1)
    obs[:, 5] = obs[:, 0] + 0.05
    obs[:, 6] = 0
    return obs


@pytest.mark.parametrize("block_shape", ["disc", "box"])
def test_a_gif_has_one_frame_per_step(obs, tmp_path, block_shape):
    path = tmp_path / "episode.gif"
    render(obs, path, TASK, title="a title", block_shape=block_shape, fps=20)
    with Image.open(path) as image:
        assert (image.format, image.n_frames) == ("GIF", NUM_STEPS)
        assert image.info["duration"] == 50
        frames = []
        for index in (0, NUM_STEPS - 1):
            image.seek(index)
            frames.append(np.asarray(image.convert("RGB")).astype(int))
    assert (np.abs(frames[0] - frames[1]).sum(axis=-1) > 100).mean() > 0.005
    assert path.stat().st_size < 100_000


def test_a_png_shows_four_moments(obs, tmp_path):
    path = tmp_path / "episode.png"
    render(types.SimpleNamespace(obs=obs), path, task=TASK)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width > 3 * image.height


def test_states_bring_their_task(tmp_path):
    env = Push()
    states = [env.reset(jax.random.key(seed)) for seed in range(2)]
    render(states, tmp_path / "list.gif")
    render(jax.tree.map(lambda *x: jnp.stack(x), *states), tmp_path / "stack.gif")
    for name in ("list.gif", "stack.gif"):
        with Image.open(tmp_path / name) as image:
            assert image.n_frames == 2


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"task": None}, "task is needed"),
        ({"path": "episode.mp4"}, r"path ending must be one of \.gif, \.png; got '\.mp4'"),
        ({"block_shape": "ball"}, "block_shape must be one of disc, box"),
        ({"trajectory": np.zeros((3, 25))}, r"observations \(T, 26\); got \(3, 25\)"),
        ({"trajectory": np.full((3, 26), np.nan)}, "not finite"),
        ({"trajectory": []}, "trajectory is empty"),
    ],
)
def test_bad_arguments_are_refused(obs, tmp_path, kwargs, message):
    arguments = {"trajectory": obs, "path": "episode.gif", "task": TASK, **kwargs}
    with pytest.raises(ValueError, match=message):
        render(**{**arguments, "path": tmp_path / arguments["path"]})
    assert not list(tmp_path.iterdir())
