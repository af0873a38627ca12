"""Push from the command line to its pictures, and the benchmark, at tiny sizes."""

import json

import pytest

import bench
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

    from explorax_envs.push import sample_tasks, save_tasks

    save_tasks(tmp_path / "tasks.npz", sample_tasks(jax.random.key(9), 1))
    flags = ["--tasks", str(tmp_path / "tasks.npz"), "--num-iterations=2", "--episodes=3"]
    assert evaluate.main([str(run), *flags, "--out", str(tmp_path / "other")]) == 0
    second = json.loads((tmp_path / "other" / "metatest.json").read_text(encoding="utf-8"))
    assert second["num_tasks"] == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "num_seeds"), [*((case, 1) for case in bench.CASES), ("ppo", 2), ("trpo", 3)]
)
def test_every_benchmark_runs_what_it_says(case, num_seeds):
    config = bench.BenchConfig(
        num_tasks=2, num_episodes=2, repeats=1, case=case, num_seeds=num_seeds
    )
    figures = bench.time_case(config)
    assert (
        figures["steps"] == num_seeds * 2 * 2 * 2 * 100
    )  # seeds, tasks, episodes, stages, horizon
    assert figures["seconds"] > 0
    assert figures["compile_s"] >= figures["trace_s"] > 0
