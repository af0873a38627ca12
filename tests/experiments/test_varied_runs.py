"""Several settings in one program: each member is what it would be alone."""

import json
import signal
from dataclasses import replace

import jax
import numpy as np
import pytest

import evaluate
import figure
import learners
import report
import train
from cli import run_main
from config_json import from_json, settings_id, to_json
from explorax.sinks import read_jsonl
from explorax.varied import over_values
from held_out import held_out_tasks
from learners import finished_state, first_state, of_seed, set_up
from report_run import evaluate_params
from run_directory import RunDirectory
from runtime import make_env
from stopped_runs import steps, stop_at
from variations import changed, text_of

TWO = {
    "meta.kl_coef": (0.1, 2.0),
    "meta.inner_lr_mean": (1.0, 5.0),
    "meta.ppo.learning_rate": (1e-3, 2e-2),
    "meta.discount": (0.8, 0.99),
    "meta.ppo.entropy_coef": (0.0, 0.5),
}
"""Fields and the numbers of two settings."""


def texts(columns):
    """What --vary is told: a setting of each place in the fields' numbers."""
    rows = zip(*columns.values(), strict=True)
    return [text_of(dict(zip(columns, row, strict=True))) for row in rows]


def trajectory(config, num_updates=3):
    """Metrics of the first updates: leading axes of updates and, of several, of members."""
    setup = set_up(config)
    update = lambda state, _: setup.learner.update(state)  # noqa: E731
    run = jax.jit(lambda state: jax.lax.scan(update, state, length=num_updates)[1])
    return jax.device_get(run(first_state(config, setup)))


def assert_close(metrics, others):
    for name, values in metrics.items():
        np.testing.assert_allclose(values, others[name], rtol=5e-3, atol=5e-3, err_msg=name)


def check_members(flags, columns):
    """Two settings of two seeds, beside the seeds of each setting alone."""
    together = train.parse_train([*flags, "--num-seeds=2", "--vary", *texts(columns)])
    found = trajectory(together)
    for i, setting in enumerate(together.settings):
        alone = trajectory(changed(replace(together, vary=()), setting))
        assert_close({name: x[:, 2 * i : 2 * i + 2] for name, x in found.items()}, alone)
    assert any(not np.allclose(x[:, 0], x[:, 2], rtol=2e-2) for x in found.values())


@pytest.mark.slow
def test_members_learn_what_they_would_alone(tiny):
    check_members(tiny, TWO)


@pytest.mark.slow
@pytest.mark.parametrize("name", TWO)
def test_each_field_by_itself(tiny, name):
    check_members(tiny, {name: TWO[name]})


@pytest.mark.slow
def test_members_side_by_side_learn_what_they_would_alone(tiny, monkeypatch):
    """As on an accelerator: a CPU takes them one by one."""
    calls = []

    def side_by_side(make, usual, values, one_by_one):
        calls.append(one_by_one)
        return over_values(make, usual, values)

    monkeypatch.setattr(learners, "over_values", side_by_side)
    check_members(tiny, {"meta.kl_coef": TWO["meta.kl_coef"]})
    assert calls == [True]


def test_settings_in_one_program_are_runs_in_one_directory(
    tiny, finished, tmp_path, refused, monkeypatch
):
    """Stopped and resumed; one has the finished run's settings, and each is tested with its own."""
    vary = ["--vary", *texts({"meta.kl_coef": (0.1, 0.5), "meta.discount": (0.5, 0.99)})]
    run_dir = tmp_path / "varied"
    with monkeypatch.context() as patch:
        stop_at(patch, 1, signal.SIGTERM)
        flags = [*tiny, *vary, "--train.num-iterations=6", f"--run-dir={run_dir}"]
        assert run_main(train.main, flags) == 0
    assert steps(run_dir) == [3]
    again = ["--resume", f"--run-dir={run_dir}"]
    refused(train.main, [*again, "--vary", "meta.kl_coef=0.1", "meta.kl_coef=1"], "vary: ", run_dir)
    assert run_main(train.main, again) == 0

    names = ["kl_coef0.1-discount0.5-seed0", "kl_coef0.5-discount0.99-seed0"]
    in_common = {"checkpoints", "config.json", "versions.json"}
    assert {path.name for path in run_dir.iterdir()} == in_common | set(names)
    run = RunDirectory.open(run_dir)
    members = run.members()
    assert [member.path.name for member in members] == names
    assert [member.config.meta.discount for member in members] == [0.5, 0.99]
    alone = RunDirectory.open(finished)
    assert settings_id(members[1].config) == settings_id(alone.config)
    found, wanted = (read_jsonl(path / "metrics.jsonl") for path in (members[1].path, finished))
    returns = [[line["return_post"] for line in lines] for lines in (found, wanted)]
    np.testing.assert_allclose(*returns, rtol=1e-3)
    reports = [json.loads((m.path / "metatest.json").read_text()) for m in (*members, alone)]
    assert reports[1]["settings_id"] == reports[2]["settings_id"] != reports[0]["settings_id"]
    np.testing.assert_allclose(*(r["return"]["mean"] for r in reports[1:]), rtol=1e-3)

    config = run.config.members()[0]
    tasks = held_out_tasks(make_env(config.env), config.metatest.num_tasks)
    params = of_seed(run.config, finished_state(run).params, 0)
    (itself,) = evaluate_params(config, config.metatest, params, tasks, None)
    np.testing.assert_allclose(itself["return"]["mean"], reports[0]["return"]["mean"], rtol=1e-3)

    refused(evaluate.main, [run_dir / names[0]], f"is part of is in {run_dir}")
    refused(report.main, [run_dir], run_dir, "several settings")
    assert figure.main([str(run_dir), f"--out={tmp_path / 'drawn'}"]) == 0
    rows = (tmp_path / "drawn-runs.csv").read_text().splitlines()
    labels = [f"point-maesn {name.removesuffix('-seed0')}" for name in names]
    assert [row.split(",")[0] for row in rows[1::3]] == labels


@pytest.mark.parametrize(
    ("vary", "names"),
    [
        ("meta.kl_coef=0.1", ["two settings"]),
        ("meta.kl_coef=0.1 meta.kl_coef=0.10", ["meta.kl_coef=0.10", "twice"]),
        ("meta.kl_coef=0.1,meta.kl_coef=1 meta.kl_coef=1", ["meta.kl_coef", "twice"]),
        ("meta.kl_coef=0.1 meta.discount=0.5", ["meta.discount=0.5", "other fields"]),
        ("meta.kl_coef=low meta.kl_coef=0.5", ["meta.kl_coef=low"]),
        ("meta.kl_coef meta.kl_coef=0.5", ["'meta.kl_coef'"]),
        ("meta.kl_coef=nan meta.kl_coef=0.5", ["meta.kl_coef", "finite"]),
        ("meta.kl_coef=-1 meta.kl_coef=0.5", ["meta.kl_coef", "negative"]),
        ("meta.kl=0.1 meta.kl=0.5", ["meta.kl is no field"]),
        ("meta.num_episodes=4 meta.num_episodes=8", ["meta.num_episodes is no field"]),
        (
            "meta.kl_coef=1,meta.ppo.entropy_max_std=1 meta.kl_coef=2,meta.ppo.entropy_max_std=1",
            ["vary: meta.ppo.entropy_max_std cannot"],
        ),
    ],
)
def test_what_cannot_differ_within_a_program_is_refused(tiny, refused, vary, names):
    refused(train.main, [*tiny, "--vary", *vary.split(), "--run-dir=new"], *names)


def test_a_config_of_before_has_one_setting(tiny):
    values = json.loads(json.dumps(to_json(train.parse_train(tiny))))
    del values["vary"]
    assert from_json(values) == train.parse_train(tiny)
