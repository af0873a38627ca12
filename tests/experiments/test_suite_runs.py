"""What ``make figure`` trains, and that it trains only what is missing."""

import json
import signal
from dataclasses import replace

import numpy as np
import pytest

import child_runs
import explorax_envs
import suite_runs
import train
from child_runs import train_missing
from cli import run_main
from config import HORIZON
from errors import RunError, UsageError
from explorax.sinks import read_jsonl
from fake_sweeps import FakeRuns
from presets import PRESETS


@pytest.mark.parametrize("budget", ["small", "paper"])
@pytest.mark.parametrize("suite", ["push", "wheeled", "ant"])
def test_all_methods_of_a_suite_take_as_many_steps(suite, budget):
    wanted = suite_runs.configs(suite, budget, 3)
    horizon = explorax_envs.make(suite).horizon
    assert HORIZON[suite] == horizon
    steps = suite_runs.ENV_STEPS[budget][suite]
    trained = [c for c in wanted if c.train.num_iterations > 0]
    methods = {c.preset.removeprefix(f"{suite}-") for c in wanted}
    assert methods == {"maesn", "latent-space", "maml", "rl2", "scratch", "rnd"}
    assert len(trained) == 4
    for config in trained:
        meta, stages = config.meta, config.meta.num_inner_steps + 1
        per_update = meta.meta_batch_size * meta.num_episodes * stages * horizon
        assert abs(config.train.num_iterations * per_update - steps) <= per_update
        assert config.meta.ppo.decay_iterations == config.train.num_iterations
    shape = "box" if (suite, budget) == ("push", "paper") else "disc"
    for config in wanted:
        assert (config.num_seeds, config.env.name, config.env.reward) == (3, suite, "dense")
        assert config.env.physics == ("fast" if budget == "small" else "exact")
        assert config.env.block_shape == shape
        assert config.metatest.num_iterations == 100 or budget == "small"


@pytest.mark.parametrize("budget", ["small", "paper"])
def test_the_flags_say_what_differs_from_the_preset(budget):
    for config in suite_runs.configs("push", budget, 2):
        flags = [f"--preset={config.preset}", *child_runs.changed_flags(config)]
        assert train.parse_train(flags) == config


def test_a_switch_has_flags_of_its_own():
    usual = PRESETS["push-maesn"]
    wanted = replace(usual, meta=replace(usual.meta, learn_inner_lr=False), tensorboard=True)
    flags = child_runs.changed_flags(wanted)
    assert sorted(flags) == ["--meta.no-learn-inner-lr", "--tensorboard"]
    assert train.parse_train(["--preset=push-maesn", *flags]) == wanted


def test_an_empty_directory_is_no_run(tmp_path):
    """One is left where a run was stopped before it wrote anything."""
    wanted = PRESETS["push-maesn"]
    _, *flags = child_runs.command_of(wanted, tmp_path) or []
    assert flags == ["--preset=push-maesn", f"--run-dir={tmp_path}"]
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=str(tmp_path)):
        child_runs.command_of(wanted, tmp_path)


def test_a_training_that_was_stopped_is_not_taken_for_finished(tmp_path, monkeypatch):
    """It has saved and ends with exit code 0; what it was needed for waits for its end."""
    runs, wanted = FakeRuns(), {tmp_path / "one": PRESETS["point-maesn"]}
    runs.programs["one"] = ["print('stopped by SIGTERM')"]
    monkeypatch.setattr(child_runs, "command_of", runs)
    with pytest.raises(RunError, match=f"{tmp_path}/one: .* stopped before its end; the same com"):
        train_missing(wanted)
    assert train_missing(wanted) == list(wanted)


SAVES = """
import os, signal, sys, time
def save(number, _):
    sys.exit({code})
signal.signal(signal.{name}, save)
os.kill(os.getppid(), signal.{name})
{too}
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("name", "code", "parent_code"),
    [
        ("SIGTERM", 0, 128 + signal.SIGTERM),
        ("SIGUSR2", 0, 128 + signal.SIGUSR2),
        ("SIGINT", 130, 130),
        ("SIGINT", 0, 130),  # it was about to end
        ("SIGTERM", 1, 1),
    ],
)
def test_who_is_told_to_stop_ends_as_the_training_that_it_tells(
    name, code, parent_code, tmp_path, monkeypatch, capfd
):
    """A figure is not done where its training has saved; a failure while saving stays one."""
    runs, wanted = FakeRuns(), {tmp_path / "one": PRESETS["point-maesn"]}
    # a terminal tells the child by itself
    too = f"os.kill(os.getpid(), signal.{name})" if name == "SIGINT" else ""
    runs.programs["one"] = [SAVES.format(name=name, code=code, too=too)]
    monkeypatch.setattr(child_runs, "command_of", runs)
    before = signal.getsignal(signal.SIGTERM)
    assert run_main(lambda _: len(train_missing(wanted)), []) == parent_code
    assert signal.getsignal(signal.SIGTERM) is before
    said = capfd.readouterr().err
    assert f"{tmp_path}/one: " in said
    assert "the same command goes on from there" in said or code == 1
    assert (f"stopped by {name}" in said) == (code != 1)


def test_who_is_told_to_stop_too_early_to_save_is_stopped_all_the_same(
    tmp_path, monkeypatch, capfd
):
    """The training has not come so far as to listen: it has nothing to lose."""
    runs, wanted = FakeRuns(), {tmp_path / "one": PRESETS["point-maesn"]}
    runs.programs["one"] = ["import os, time; os.kill(os.getppid(), 15); time.sleep(60)"]
    monkeypatch.setattr(child_runs, "command_of", runs)
    assert run_main(lambda _: len(train_missing(wanted)), []) == 128 + signal.SIGTERM
    assert f"{tmp_path}/one: stopped by SIGTERM; the same command" in capfd.readouterr().err


@pytest.mark.slow
def test_only_what_is_missing_is_trained(tiny, tmp_path, monkeypatch, capfd):
    """A run that was there, one that was stopped, one of other settings."""
    wanted = replace(train.parse_train([*tiny, "--train.num-iterations=3"]), num_seeds=2)
    (path,) = train_missing({tmp_path / wanted.preset: wanted})
    metrics = path / "seed1" / "metrics.jsonl"
    assert len(read_jsonl(metrics)) == 3
    written = metrics.stat().st_mtime_ns
    capfd.readouterr()
    assert train_missing({tmp_path / wanted.preset: wanted}) == [path]
    assert f"[1/1] {path}: is there\n" in capfd.readouterr().err
    assert metrics.stat().st_mtime_ns == written

    for name in ("metatest.json", "metatest.png"):
        (path / "seed1" / name).unlink()
    train_missing({tmp_path / wanted.preset: wanted})
    assert (path / "seed1" / "metatest.json").exists()

    report = path / "seed0" / "metatest.json"
    content = report.read_text()
    for damage in ('{"num_tasks": 9', content.replace('"num_tasks": 4', '"num_tasks": 9')):
        report.write_text(damage)
        with pytest.raises(UsageError, match=str(report)):
            train_missing({tmp_path / wanted.preset: wanted})
    report.write_text(content)
    for other in (replace(wanted, num_seeds=3), replace(wanted, seed=1)):
        with pytest.raises(UsageError, match=str(path)):
            train_missing({path: other})
    broken = replace(wanted, preset="point-rl2")
    monkeypatch.setattr(child_runs, "changed_flags", lambda _: ["--meta.num-episodes", "0"])
    with pytest.raises(RunError, match="exit code 2"):
        train_missing({tmp_path / broken.preset: broken})


@pytest.mark.slow
def test_a_run_without_training_goes_on_too(tmp_path):
    """Its meta-test is all that can be interrupted: several seeds, learned alone."""
    sizes = "--metatest.num-tasks=4 --metatest.num-iterations=2 --metatest.num-episodes=4"
    flags = f"--preset=point-rnd --meta.hidden-sizes 8 --num-seeds=2 {sizes}".split()
    wanted = train.parse_train(flags)
    (path,) = train_missing({tmp_path / wanted.preset: wanted})
    reports = [json.loads((path / f"seed{i}" / "metatest.json").read_text()) for i in (0, 1)]
    for seed, report in enumerate(reports):
        alone = tmp_path / f"alone{seed}"
        alone_flags = [*flags, "--num-seeds=1", f"--seed={seed}", f"--run-dir={alone}"]
        assert run_main(train.main, alone_flags) == 0
        single = json.loads((alone / "metatest.json").read_text())
        np.testing.assert_allclose(report["return"]["mean"], single["return"]["mean"], rtol=1e-3)
    for name in ("metatest.json", "metatest.png"):
        (path / "seed1" / name).unlink()
    train_missing({tmp_path / wanted.preset: wanted})
    assert json.loads((path / "seed1" / "metatest.json").read_text()) == reports[1]
