"""What ``make figure`` trains, and that it trains only what is missing."""

from dataclasses import replace

import pytest

import suite_runs
import train
from errors import RunError, UsageError
from explorax.sinks import read_jsonl
from presets import PRESETS


@pytest.mark.parametrize("budget", ["small", "paper"])
@pytest.mark.parametrize("suite", ["push", "wheeled", "ant"])
def test_all_methods_of_a_suite_take_as_many_steps(suite, budget):
    wanted = suite_runs.configs(suite, budget, 3)
    horizon, steps = suite_runs.HORIZON[suite], suite_runs.ENV_STEPS[budget][suite]
    trained = [c for c in wanted if c.train.num_iterations > 0]
    methods = {c.preset.removeprefix(f"{suite}-") for c in wanted}
    assert methods == {"maesn", "latent-space", "maml", "rl2", "scratch", "rnd"}
    assert len(trained) == 4
    for config in trained:
        taken = config.train.num_iterations * suite_runs.steps_per_update(config.meta, horizon)
        assert abs(taken - steps) <= suite_runs.steps_per_update(config.meta, horizon)
        assert config.meta.ppo.decay_iterations == config.train.num_iterations
    for config in wanted:
        assert (config.num_seeds, config.env.name, config.env.reward) == (3, suite, "dense")
        assert config.env.physics == ("fast" if budget == "small" else "exact")


@pytest.mark.parametrize("budget", ["small", "paper"])
def test_the_flags_say_what_differs_from_the_preset(budget):
    for config in suite_runs.configs("push", budget, 2):
        flags = [f"--preset={config.preset}", *suite_runs.changed_flags(config)]
        assert train.parse_train(flags) == config


def test_only_what_is_missing_is_trained(tiny, tmp_path, monkeypatch, capfd):
    """A run that was there, one that was stopped, one of other settings."""
    wanted = replace(train.parse_train([*tiny, "--train.num-iterations=3"]), num_seeds=2)
    (path,) = suite_runs.train_missing([wanted], tmp_path)
    metrics = path / "seed1" / "metrics.jsonl"
    assert len(read_jsonl(metrics)) == 3
    written = metrics.stat().st_mtime_ns
    capfd.readouterr()
    assert suite_runs.train_missing([wanted], tmp_path) == [path]
    assert "is there" in capfd.readouterr().err
    assert metrics.stat().st_mtime_ns == written

    for name in ("metatest.json", "metatest.png"):
        (path / "seed1" / name).unlink()
    suite_runs.train_missing([wanted], tmp_path)
    assert (path / "seed1" / "metatest.json").exists()

    for other in (replace(wanted, num_seeds=3), replace(wanted, seed=1)):
        with pytest.raises(UsageError, match=str(path)):
            suite_runs.train_missing([other], tmp_path)
    broken = replace(wanted, preset="point-rl2")
    monkeypatch.setattr(suite_runs, "changed_flags", lambda _: ["--meta.num-episodes", "0"])
    with pytest.raises(RunError, match="exit code 2"):
        suite_runs.train_missing([broken], tmp_path)
    assert set(PRESETS) >= {wanted.preset, broken.preset}
