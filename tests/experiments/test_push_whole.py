"""Push from the command line to its pictures, at tiny sizes."""

import json

import pytest

import evaluate
import train

TINY = [
    "--train.num-iterations=2",
    "--train.devices=2",
    "--meta.num-train-tasks=5",
    "--meta.meta-batch-size=2",
    "--meta.num-episodes=3",
    "--meta.hidden-sizes",
    "8",
    "--metatest.num-tasks=4",
    "--metatest.num-iterations=2",
    "--metatest.num-episodes=3",
]


@pytest.fixture(scope="module")
def _no_episodes_drawn():
    """Here they are."""


@pytest.mark.slow
def test_push_trains_draws_and_evaluates_a_task_file(tmp_path):
    run = tmp_path / "run"
    assert train.main([*TINY, "--run-dir", str(run)]) == 0
    for name in ("training.png", "metatest.png", "exploration.png", "episode.png"):
        assert (run / name).read_bytes().startswith(b"\x89PNG"), name
    assert (run / "episode.gif").read_bytes().startswith(b"GIF8")
    first = json.loads((run / "metatest.json").read_text(encoding="utf-8"))
    assert first["num_tasks"] == 4

    import jax

    from explorax_envs import save_tasks
    from explorax_envs.push import sample_tasks

    save_tasks("push", tmp_path / "tasks.npz", sample_tasks(jax.random.key(9), 1))
    flags = ["--tasks", str(tmp_path / "tasks.npz"), "--num-iterations=2", "--episodes=3"]
    assert evaluate.main([str(run), *flags, "--out", str(tmp_path / "other")]) == 0
    second = json.loads((tmp_path / "other" / "metatest.json").read_text(encoding="utf-8"))
    assert second["num_tasks"] == 5
