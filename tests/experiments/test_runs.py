"""Whole runs on the point robot: trained, stopped, resumed, broken, evaluated."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest

import evaluate
import explorax_envs
import figure
import learners
import reports
import train
import training
from child_runs import command_of
from cli import run_main
from explorax.sinks import METRIC_KEYS, read_jsonl
from held_out import held_out_tasks
from paper import paper_curves
from run_directory import RunDirectory
from stopped_runs import final_bits, metrics, steps, stop_at, whole_and_resumed
from trees import bits
from wandb_files import exit_codes, offline_runs


def test_a_run_leaves_what_it_promises(finished):
    names = {p.name for p in finished.iterdir()}
    assert names == {
        "checkpoints",
        "config.json",
        "episode.gif",
        "episode.png",
        "exploration.png",
        "metatest.json",
        "metatest.png",
        "metrics.jsonl",
        "training.png",
        "versions.json",
    }
    assert steps(finished) == [3, 6]
    records = read_jsonl(finished / "metrics.jsonl")
    assert [r["meta_iteration"] for r in records] == [1, 2, 3, 4, 5, 6]
    steps_per_update = 4 * 4 * 2 * 20  # tasks, episodes, stages, horizon
    assert [r["env_steps"] for r in records] == [steps_per_update * n for n in range(1, 7)]
    for record in records:
        assert set(METRIC_KEYS) <= set(record)
        assert record["line_search_ok"] is None, "ppo has none"
        nothing = [k for k in METRIC_KEYS if record[k] is None]
        assert nothing == ["line_search_ok", "inner_lr_params"], "only latents adapt"
    for picture in ("training.png", "metatest.png", "exploration.png", "episode.png"):
        assert (finished / picture).read_bytes().startswith(b"\x89PNG")


def test_the_meta_test_of_a_run(finished):
    report = json.loads((finished / "metatest.json").read_text())
    assert report["meta_iteration"] == 6
    assert report["num_tasks"] == 4
    assert report["do_nothing"] == {"return": -20.0, "success": 0.0}
    for name in ("return", "success"):
        per_task = np.array(report["per_task"][name])
        assert per_task.shape == (4, 3)
        column = {key: np.array(value) for key, value in report[name].items()}
        np.testing.assert_allclose(column["mean"], per_task.mean(axis=0), atol=1e-3)
        assert (column["low"] <= column["mean"]).all()
        assert (column["mean"] <= column["high"]).all()


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 0),
        pytest.param(signal.SIGUSR2, 0, marks=pytest.mark.slow),
        (signal.SIGINT, 130),
    ],
)
def test_a_stopped_and_resumed_run_is_bit_equal(
    tiny, finished, tmp_path, monkeypatch, capfd, number, code
):
    """Where it was told to save and has saved, exit code 0 and a word say so."""
    run_dir = tmp_path / "stopped"
    flags = [*tiny, "--train.num-iterations=6", f"--run-dir={run_dir}"]
    with monkeypatch.context() as patch:
        stop_at(patch, 1, number)
        assert run_main(train.main, flags) == code
    err = capfd.readouterr().err
    assert f"stopped by {number.name} after meta-iteration" in err
    assert f"--run-dir {run_dir} --resume" in err
    (stopped_at,) = steps(run_dir)
    assert stopped_at == 3, "at the end of the chunk that runs"
    assert len(read_jsonl(run_dir / "metrics.jsonl")) == stopped_at
    assert not (run_dir / "metatest.json").exists()

    assert run_main(train.main, ["--resume", f"--run-dir={run_dir}"]) == 0
    assert final_bits(run_dir) == final_bits(finished)
    assert [row["meta_iteration"] for row in metrics(run_dir)] == [1, 2, 3, 4, 5, 6]
    assert metrics(run_dir) == metrics(finished)
    wall = [row["wall_s"] for row in read_jsonl(run_dir / "metrics.jsonl")]
    assert wall == sorted(wall), "wall_s goes on where it was"
    results = [json.loads((d / "metatest.json").read_text()) for d in (run_dir, finished)]
    assert results[0].pop("run_id") != results[1].pop("run_id")
    assert results[0] == results[1]


def test_a_signal_while_a_run_begins_is_heeded(tiny, tmp_path, monkeypatch):
    """It may have skills to clone: the run stops, and saves, after its first chunk."""
    begin = training._begin

    def begin_and_stop(*args):
        os.kill(os.getpid(), signal.SIGTERM)
        return begin(*args)

    monkeypatch.setattr(training, "_begin", begin_and_stop)
    run_dir = tmp_path / "stopped"
    assert run_main(train.main, [*tiny, "--train.num-iterations=6", f"--run-dir={run_dir}"]) == 0
    assert steps(run_dir) == [2]
    assert not (run_dir / "metatest.json").exists()


def test_a_run_goes_on_with_another_number_of_devices(tiny, tmp_path, monkeypatch):
    """From the state that was saved, bit for bit."""
    run_dir, began = tmp_path / "run", []
    fit = training.fit

    def watched(learner, state, mesh, *rest):
        began.append((mesh.size, bits(state)))
        return fit(learner, state, mesh, *rest)

    monkeypatch.setattr(training, "fit", watched)
    flags = [*tiny, "--train.num-iterations=3", "--train.devices=2", f"--run-dir={run_dir}"]
    assert run_main(train.main, flags) == 0
    saved = final_bits(run_dir)
    again = ["--resume", f"--run-dir={run_dir}", "--train.num-iterations=6", "--train.devices=1"]
    assert run_main(train.main, again) == 0
    assert [size for size, _ in began] == [2, 1]
    assert began[1][1] == saved
    assert steps(run_dir) == [3, 6]
    assert json.loads((run_dir / "metatest.json").read_text())["meta_iteration"] == 6
    usual = train.parse_train([*tiny, "--train.num-iterations=6"])
    assert command_of(usual, run_dir) is None, "it is what a sweep or a figure asks for"


@pytest.mark.usefixtures("no_wandb_account")
def test_a_run_that_was_killed_repeats_nothing(finished):
    """As after kill -9: lines beyond the checkpoint, the last one cut short.

    W&B may be switched on for the rest of a run; its files lie below the run's directory.
    """
    expected = final_bits(finished)
    with (finished / "metrics.jsonl").open("a") as file:
        file.write('{"meta_iteration": 7, "wall_s": 1.0}\n{"meta_iter')
    flags = ["--resume", f"--run-dir={finished}", "--train.num-iterations=7"]
    flags.append("--wandb.mode=offline")
    assert run_main(train.main, flags) == 0
    records = read_jsonl(finished / "metrics.jsonl")
    assert [r["meta_iteration"] for r in records] == list(range(1, 8))
    assert records[-1]["return_post"] is not None
    assert steps(finished)[-2:] == [6, 7]
    (run,) = finished.glob("wandb/offline-run-*/run-*.wandb")
    assert run.stem.removeprefix("run-") == RunDirectory.open(finished).run_id
    assert final_bits(finished) != expected
    assert RunDirectory.open(finished).config.train.num_iterations == 7


@pytest.mark.usefixtures("no_wandb_account")
def test_seeds_in_one_program_are_runs_in_one_directory(
    tiny, finished, tmp_path, monkeypatch, capfd
):
    """Stopped, resumed, evaluated; seed 0 learns what it learns alone, and W&B has two runs."""
    flags = [*tiny, "--train.num-iterations=6", "--num-seeds=2", "--wandb.mode=offline"]
    whole, stopped = whole_and_resumed(monkeypatch, flags, tmp_path)
    in_common = {"checkpoints", "config.json", "versions.json"}
    assert {p.name for p in whole.iterdir()} == in_common | {"seed0", "seed1"}
    alone = read_jsonl(finished / "metrics.jsonl")
    members = [read_jsonl(whole / f"seed{i}" / "metrics.jsonl") for i in (0, 1)]
    for member in members:
        assert [r["meta_iteration"] for r in member] == [1, 2, 3, 4, 5, 6]
        assert [r["env_steps"] for r in member] == [r["env_steps"] for r in alone]
    returns = [[r["return_post"] for r in records] for records in (alone, *members)]
    np.testing.assert_allclose(returns[0], returns[1], rtol=1e-3)
    assert not np.allclose(returns[0], returns[2], rtol=1e-3)
    reports = [json.loads((whole / f"seed{i}" / "metatest.json").read_text()) for i in (0, 1)]
    assert [r["seed"] for r in reports] == [0, 1]
    single = json.loads((finished / "metatest.json").read_text())
    np.testing.assert_allclose(reports[0]["return"]["mean"], single["return"]["mean"], rtol=1e-3)
    assert reports[0]["settings_id"] == single["settings_id"]
    logged = [offline_runs(whole / f"seed{i}") for i in (0, 1)]
    runs = [r["run"] for (records,) in logged for r in records if r["type"] == "run"]
    assert len({run["run_id"] for run in runs}) == 2
    assert {run["run_group"] for run in runs} == {"whole"}
    assert exit_codes(stopped / "seed0") == [128 + signal.SIGTERM, 0], "not finished at first"

    before = (whole / "seed1" / "metatest.json").read_bytes()
    out = tmp_path / "out"
    sizes = ["--num-iterations=3", "--num-tasks=4", "--episodes=4"]
    assert run_main(evaluate.main, [str(whole), *sizes, f"--out={out}"]) == 0
    assert run_main(evaluate.main, [str(whole / "seed0"), *sizes]) == 2
    assert f"is part of is in {whole}" in capfd.readouterr().err
    assert {p.name for p in out.iterdir()} == {"seed0", "seed1"}
    assert (whole / "seed1" / "metatest.json").read_bytes() == before
    assert figure.main([str(whole), f"--out={tmp_path / 'drawn'}"]) == 0
    rows = (tmp_path / "drawn-runs.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 3


def test_the_default_directory_is_new_and_below_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = train.parse_train(["--preset=point-maesn", "--seed=3"])
    first = RunDirectory.create(config)
    second = RunDirectory.create(config)
    assert first.path != second.path
    assert first.path.parent == Path("runs")
    assert first.path.name.startswith("point-maesn-seed3-")


def test_runs_that_begin_at_once_have_directories_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = train.parse_train(["--preset=point-maesn"])
    with ThreadPoolExecutor(8) as threads:
        runs = list(threads.map(RunDirectory.create, [config] * 8))
    assert len({run.path for run in runs}) == 8


def test_evaluate_leaves_the_test_after_training(finished, tmp_path, capfd):
    before = (finished / "metatest.json").read_bytes()
    sizes = ["--num-iterations=3", "--num-tasks=4", "--episodes=4"]
    assert run_main(evaluate.main, [str(finished), *sizes, f"--out={tmp_path / 'out'}"]) == 0
    assert (finished / "metatest.json").read_bytes() == before
    report = json.loads((tmp_path / "out" / "metatest.json").read_text())
    assert len(report["return"]["mean"]) == 4
    assert (tmp_path / "out" / "metatest.png").exists()
    # The same tasks, episodes and keys as after training: the same numbers.
    np.testing.assert_allclose(
        report["return"]["mean"][0], json.loads(before)["return"]["mean"][0], rtol=1e-5
    )
    assert "doing nothing" in capfd.readouterr().out
    assert run_main(evaluate.main, [str(finished), *sizes]) == 0
    assert json.loads((finished / "evaluation" / "metatest.json").read_text()) == report
    assert run_main(evaluate.main, [str(finished), *sizes, f"--out={finished}"]) == 2
    assert "out: " in capfd.readouterr().err
    assert (finished / "metatest.json").read_bytes() == before


def test_held_out_tasks_are_no_training_tasks():
    env = explorax_envs.make("point")
    held_out = np.asarray(held_out_tasks(env, 50).goal)
    config = train.parse_train(["--preset=point-maesn"])
    init = jax.jit(learners.set_up(config).learner.init)
    for seed in range(5):
        trained = np.asarray(init(jax.random.key(seed)).tasks.goal)
        assert np.linalg.norm(held_out[:, None] - trained, axis=-1).min() > 0
    np.testing.assert_array_equal(held_out, np.asarray(held_out_tasks(env, 50).goal))


def test_bootstrap_intervals():
    spread = np.tile(np.linspace(-1.0, 1.0, 100)[:, None], (1, 2))
    values = np.concatenate([spread, np.full((100, 1), 5.0)], axis=1)
    found = reports.summarise(values)
    np.testing.assert_allclose(found["mean"], [0.0, 0.0, 5.0], atol=1e-12)
    error = 1.96 * spread[:, 0].std() / 10  # of the mean of 100 independent values
    np.testing.assert_allclose(found["high"][:2], [error, error], rtol=0.1)
    np.testing.assert_allclose(found["low"][:2], [-error, -error], rtol=0.1)
    assert (found["low"][2], found["high"][2]) == (5.0, 5.0)
    assert reports.summarise(values[:1])["low"] == [None, None, None]


@pytest.mark.parametrize(
    ("suite", "after_one", "low", "high"),
    [("push", -323.5, -440, -270), ("wheeled", -378.7, -460, -350), ("ant", 336, 280, 380)],
)
def test_the_papers_numbers_are_returns_by_iteration(suite, after_one, low, high):
    paper = paper_curves(suite)
    assert paper["curves"]["MAESN"]["1"] == after_one
    assert set(paper["curves"]) == {"MAESN", "LatentSpace", "MAML", "RL2", "TRPO", "VIME"}
    released = paper.get("released_policies", {"return": {}})["return"]
    for curve in [*paper["curves"].values(), released]:
        assert all(0 <= int(i) <= 100 and low <= value <= high for i, value in curve.items())
    assert (len(released) > 0) == (suite == "push")


def test_learning_from_scratch_needs_no_training(tmp_path):
    sizes = "--metatest.num-tasks=4 --metatest.num-iterations=2 --metatest.num-episodes=4"
    flags = f"--preset=push-scratch --env.name=point --meta.hidden-sizes 8 {sizes}".split()
    run = tmp_path / "scratch"
    assert train.main([*flags, f"--run-dir={run}"]) == 0
    assert steps(run) == [0]
    report = json.loads((run / "metatest.json").read_text())
    assert len(report["return"]["mean"]) == 3
    assert not (run / "training.png").exists()
    assert evaluate.main([str(run), "--num-tasks=2", "--num-iterations=1", "--episodes=4"]) == 0
