"""Runs that discover skills on the point robot, and what is measured of the skills."""

import csv
import json
import shutil
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evaluate
import skill_evaluation
import skill_measures as measures
import skills
import train
from cli import parse_skills, run_main
from config import Config, SkillsRunConfig
from config_json import from_json, to_json
from errors import UsageError
from explorax.parallel import task_mesh
from explorax.sinks import SKILL_METRIC_KEYS, read_jsonl
from run_directory import RunDirectory
from skill_presets import SKILL_PRESETS
from stopped_runs import final_bits, metrics, steps, stop_at
from tiny_runs import SKILLS

TINY = [
    *SKILLS,
    "--train.chunk-size=2",
    "--train.checkpoint-every=3",
    "--train.num-iterations=6",
    "--evaluation.num-tasks=4",
    "--evaluation.num-episodes=2",
]


@pytest.fixture(scope="module")
def _discovered(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("skills") / "discovered"
    assert run_main(skills.main, [*TINY, f"--run-dir={run_dir}"]) == 0
    return run_dir


@pytest.fixture
def discovered(_discovered, tmp_path):
    """A copy of a run of six iterations that was never stopped."""
    return Path(shutil.copytree(_discovered, tmp_path / "discovered"))


def rows(run_dir: Path) -> list[dict[str, float]]:
    with (run_dir / "skills.csv").open(encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def test_a_run_leaves_what_it_promises(discovered):
    drawn = {"training.png", "skills.png", "skills.gif"}
    written = {"checkpoints", "config.json", "metrics.jsonl", "skills.json", "skills.csv"}
    written |= {"versions.json"}
    assert {p.name for p in discovered.iterdir()} == drawn | written
    for name in drawn:
        assert (discovered / name).read_bytes()[:4] in (b"\x89PNG", b"GIF8"), name
    assert steps(discovered) == [3, 6]
    records = read_jsonl(discovered / "metrics.jsonl")
    assert [r["meta_iteration"] for r in records] == [1, 2, 3, 4, 5, 6]
    assert [r["env_steps"] for r in records] == [80 * n for n in range(1, 7)]
    for record in records:
        assert [k for k in SKILL_METRIC_KEYS if record[k] is None] == []


def test_the_report_of_a_run(discovered):
    report, table = json.loads((discovered / "skills.json").read_text()), rows(discovered)
    assert (report["preset"], report["meta_iteration"], report["num_skills"]) == (
        "point-diayn",
        6,
        3,
    )
    accuracy = report["accuracy"]
    assert accuracy["chance"] == pytest.approx(1 / 3)
    for name, column in (("all_steps", "accuracy"), ("last_step", "accuracy_last")):
        assert accuracy[name] == pytest.approx(np.mean([r[column] for r in table]), abs=1e-3)
    assert 0.5 < report["distinct_skills"] <= 3
    information = np.mean([r["information_last"] for r in table])
    assert report["distinct_skills"] == pytest.approx(np.exp(information), abs=1e-3)
    moved = [[r["displacement_0"]] for r in table]
    assert report["displacement_m"]["mean"] == moved
    assert report["displacement_m"]["largest"] == [max(m) for m in zip(*moved, strict=True)]
    assert sum(r["tasks_best_on"] for r in table) == 4
    assert sum(r["prior"] for r in table) == pytest.approx(1.0, abs=1e-3)
    test = report["zero_shot"]
    assert test["do_nothing"] == {"return": -20.0, "success": 0.0}
    for name, trials in (("best_on_average", 0), ("best_per_task", 3)):
        assert test[name]["trial_episodes_per_task"] == trials
        for score in ("return", "success"):
            per_task = test[name]["per_task"][score]
            assert len(per_task) == 4
            assert test[name][score]["mean"] == pytest.approx(np.mean(per_task), abs=1e-3)


def test_a_stopped_and_resumed_run_is_bit_equal(discovered, tmp_path, monkeypatch, capfd):
    run_dir = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        stop_at(patch, 1, signal.SIGTERM)
        assert run_main(skills.main, [*TINY, f"--run-dir={run_dir}"]) == 0
    assert not (run_dir / "skills.json").exists()
    err = capfd.readouterr().err
    assert "stopped by SIGTERM after iteration" in err
    assert f"make skills ARGS='--run-dir {run_dir} --resume'" in err
    assert steps(run_dir) == [3]
    assert run_main(skills.main, ["--resume", f"--run-dir={run_dir}"]) == 0
    assert final_bits(run_dir) == final_bits(discovered)
    assert metrics(run_dir) == metrics(discovered)
    reports = [json.loads((d / "skills.json").read_text()) for d in (run_dir, discovered)]
    assert reports[0].pop("run_id") != reports[1].pop("run_id")
    assert reports[0] == reports[1]


@pytest.mark.slow
def test_skills_of_a_continuous_space_by_two_seeds(tmp_path, monkeypatch, capfd):
    """Some z's are measured, the same for both; all episodes are played by one program."""
    compiled = []

    def compile_episodes(*args):
        compiled.append(measures_compile(*args))
        return compiled[-1]

    measures_compile = measures.compile_episodes
    monkeypatch.setattr(measures, "compile_episodes", compile_episodes)
    run_dir = tmp_path / "run"
    flags = ["--skills.skill-space=gaussian", "--num-seeds=2", f"--run-dir={run_dir}"]
    assert run_main(skills.main, [*TINY, *flags]) == 0
    (program,) = compiled
    assert program._cache_size() == 1
    assert "nats about its skill" in capfd.readouterr().out
    reports = []
    for seed in (0, 1):
        member = run_dir / f"seed{seed}"
        reports.append(json.loads((member / "skills.json").read_text()))
        assert (reports[-1]["seed"], reports[-1]["num_skills"]) == (seed, 16)
        assert reports[-1]["accuracy"] is None
        assert all(r["accuracy"] is None for r in read_jsonl(member / "metrics.jsonl"))
        assert len(rows(member)) == 16
        assert "accuracy" not in rows(member)[0]
    assert reports[0]["displacement_m"] != reports[1]["displacement_m"]


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("--bogus 1", ["--bogus"]),
        ("--preset push-maesn", ["preset: ", "push-maesn", "make train"]),
        ("--preset nothing", ["preset: ", "push-diayn", "nothing"]),
        ("--meta.kl-coef 1", ["--meta.kl-coef"]),
        ("--skills.num-skills 1", ["skills.num_skills: "]),
        ("--skills.objective vic --skills.skill-space gaussian", ["skills.skill_space: "]),
        ("--evaluation.num-tasks 0", ["evaluation.num_tasks: "]),
        ("--evaluation.num-episodes 0", ["evaluation.num_episodes: "]),
        ("--preset point-diayn --skills.features nose", ["skills.features: ", "position", "nose"]),
        ("--env.name point", ["skills.features: ", "full", "position", "'blocks_hand'"]),
        ("--preset point-diayn --skills.replay-size 9", ["skills.replay_size: "]),
        ("--resume", ["run_dir: "]),
    ],
)
def test_wrong_flags(refused, flags, names):
    refused(skills.main, flags.split(), *names)


def test_each_script_refuses_the_others_runs(refused, discovered, finished):
    resume = ["--resume", f"--run-dir={discovered}"]
    refused(train.main, resume, discovered, "make skills", "make train")
    refused(evaluate.main, [discovered], discovered, "make skills", "make train")
    refused(skills.main, ["--resume", f"--run-dir={finished}"], finished, "make train")
    refused(skills.main, [*resume, "--skills.num-skills=4"], "skills.num_skills: ", discovered)
    with pytest.raises(UsageError):
        RunDirectory.open(discovered, Config)
    assert isinstance(RunDirectory.open(discovered).config, SkillsRunConfig)


@pytest.mark.parametrize("name", SKILL_PRESETS)
def test_presets_survive_json(name):
    config = parse_skills(["--preset", name])
    assert config == SKILL_PRESETS[name]
    assert config.preset == name
    assert from_json(json.loads(json.dumps(to_json(config)))) == config


def test_help_lists_every_flag(capsys):
    with pytest.raises(SystemExit) as stop:
        run_main(skills.main, ["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for flag in ("--seed", "--resume", "--skills.features", "--evaluation.num-tasks"):
        assert flag in text
    assert "(default: push-diayn)" in " ".join(text.replace("│", " ").split())


def test_the_best_skill_on_average_and_per_task():
    """Returns of three skills on two tasks; of equals the first is taken."""
    returns = np.array([[1.0, 5.0], [4.0, 4.0], [0.0, 5.0]])
    assert measures.best_on_average(returns) == 1
    np.testing.assert_array_equal(measures.best_per_task(returns), [1, 0])


def test_displacement_is_from_the_first_to_the_last_observation():
    """Two skills, two tasks, two points: at 0, 1 and 2, 3 of an observation."""
    ends = np.zeros((2, 2, 2, 5))
    ends[0, :, 0, :4] = 1.0
    ends[0, :, 1] = [4.0, 5.0, 1.0, 1.0, 9.0]  # the first point moves by 3, 4
    ends[1, 0, 1, 3] = 2.0  # the second one by 2, on one task of two
    points = measures.points_of({"full": (0, 1, 2, 3, 4), "blocks": (0, 1, 2, 3)})
    np.testing.assert_allclose(measures.displacement(ends, points), [[5.0, 0.0], [0.0, 1.0]])
    np.testing.assert_array_equal(measures.points_of({"position": (2, 3)}), [[2, 3]])


def test_distinct_skills_weigh_information_by_the_prior():
    equal = np.full(4, 0.25)
    assert measures.distinct_skills(np.full((4, 3), np.log(4.0)), equal) == pytest.approx(4.0)
    assert measures.distinct_skills(np.zeros((4, 3)), equal) == pytest.approx(1.0)
    certain = np.array([[np.log(2.0)], [np.log(2.0)], [-5.0], [-5.0]])
    prior = np.array([0.5, 0.5, 0.0, 0.0])
    assert measures.distinct_skills(certain, prior) == pytest.approx(2.0)


def counted_player(num_skills: int, num_episodes: int, calls: list) -> measures.Player:
    """Returns 10 * task + skill for every episode."""

    def program(params, tasks, codes, keys):
        calls.append(len(codes))
        value = 10 * tasks + codes[:, 0]
        over_time = jnp.stack([value, value], axis=1)
        return measures.Played(over_time[..., None], value, value > 10, over_time, over_time > 10)

    codes = np.arange(float(num_skills))[:, None]
    return measures.Player(program, task_mesh(1, 1), None, codes, num_episodes)  # pyright: ignore


def test_episodes_come_in_calls_of_one_size_and_in_order():
    calls = []
    player, key, tasks = counted_player(3, 4, calls), jax.random.key(0), jnp.arange(2.0)
    trials = measures.try_all(player, tasks, 2, key)
    assert calls == [4, 4]
    np.testing.assert_array_equal(trials.episode_return, [[0, 10], [1, 11], [2, 12]])
    np.testing.assert_array_equal(trials.ends[..., 0, 0], trials.episode_return)
    np.testing.assert_array_equal(trials.correct_last, trials.episode_return > 10)
    returns, success = measures.score(player, tasks, np.array([2, 1]), 5, key)
    np.testing.assert_array_equal(returns, [2, 11])
    np.testing.assert_array_equal(success, [0, 1])
    obs = measures.watch(player, tasks, 3, key)
    np.testing.assert_array_equal(obs[:, :, -1, 0], [[0] * 3, [1] * 3, [2] * 3])
    assert set(calls) == {4}


def test_the_best_skill_is_chosen_on_other_tasks_than_it_is_scored_on(monkeypatch):
    config = parse_skills(TINY)
    test = skill_evaluation.set_up_test(config)
    held_out, others = (np.asarray(tasks.goal) for tasks in (test.held_out, test.others))
    assert np.linalg.norm(held_out[:, None] - others, axis=-1).min() > 0
    state = jax.jit(test.learner.init)(jax.random.key(0))
    by_skill = {"first": [9.0, 0.0, 0.0], "later": [0.0, 0.0, 9.0]}  # on held-out tasks, on others
    wanted = iter(by_skill.values())

    def try_all(*args):
        trials = real(*args)
        returns = np.tile(np.array(next(wanted))[:, None], (1, 4))
        return trials._replace(episode_return=returns)

    real = measures.try_all
    monkeypatch.setattr(measures, "try_all", try_all)
    found = skill_evaluation.measure(test, state.params, 0)
    assert found.best == 2
    np.testing.assert_array_equal(found.per_task, np.zeros(4))
