"""Runs whose policy chooses among skills: where these come from, and that a run is whole."""

import json
import shutil
import signal
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import child_runs
import evaluate
import report_run
import report_skills
import skill_sources
import skills
import train
from child_runs import changed_flags
from cli import parse_skills, parse_train, run_main
from config_json import from_json, settings_id, to_json
from errors import StoppedError
from explorax.algos.diayn import frozen
from explorax.checksums import NAME
from explorax.sinks import read_jsonl
from learners import first_state, restore_latest, set_up
from run_directory import RunDirectory
from stopped_runs import final_bits, stop_at
from tiny_runs import SKILLS
from trees import bits

TINY_SKILLS = parse_skills(
    [
        *SKILLS,
        "--train.num-iterations=2",
        "--evaluation.num-tasks=2",
        "--evaluation.num-episodes=1",
    ]
)
TINY = [
    "--preset=point-hmrl-skills",
    "--meta.num-train-tasks=4",
    "--meta.meta-batch-size=4",
    "--meta.num-episodes=4",
    "--meta.hidden-sizes=8",
    "--train.chunk-size=2",
    "--train.checkpoint-every=3",
    "--train.num-iterations=6",
    "--metatest.num-tasks=4",
    "--metatest.num-iterations=2",
    "--metatest.num-episodes=4",
]


SIZES = [flag for flag in TINY if not flag.startswith("--preset")]
DISTILLED = ["--preset=point-hmrl-distilled", *SIZES]


@pytest.fixture(scope="module", autouse=True)
def _no_pictures(_finished):
    """Other tests look at them, in the run that all share; here they would take too long."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("draw_training", "draw_skills"):
            patch.setattr(report_skills, name, lambda *_: [])
        patch.setattr(report_run, "draw_training", lambda *_: [])
        patch.setattr(report_run, "draw_metatest", lambda run, out, _: out / "metatest.png")
        yield


@pytest.fixture(scope="module")
def _discovered(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("skills") / "seeds"
    flags = ["--preset=point-diayn", *changed_flags(TINY_SKILLS), "--num-seeds=2"]
    assert run_main(skills.main, [*flags, f"--run-dir={run_dir}"]) == 0
    return run_dir


@pytest.fixture
def discovered(_discovered, tmp_path):
    """A copy of a run of skills of seeds 0 and 1."""
    return Path(shutil.copytree(_discovered, tmp_path / "discovered"))


def final_params(run_dir: Path):
    run = RunDirectory.open(run_dir)
    return restore_latest(run, set_up(run.config))[0].params


@pytest.fixture
def tiny_preset(tmp_path, monkeypatch):
    """The preset's skills are tiny, below the working directory, and discovered in this process."""

    @contextmanager
    def in_this_process(command):
        yield SimpleNamespace(wait=lambda: run_main(skills.main, command[2:])), []

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(skill_sources, "SKILL_PRESETS", {"point-diayn": TINY_SKILLS})
    monkeypatch.setattr(child_runs, "_passing_signals_on", in_this_process)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_preset")
def test_missing_skills_are_discovered_first(capfd):
    """One seed's run has just begun, one's has not; each seed gets and keeps its own skills."""
    paths = [Path(f"runs/skills/point-diayn-seed{seed}") for seed in (0, 1)]
    RunDirectory.create(replace(TINY_SKILLS, run_dir=paths[0]))
    flags = [*TINY, "--num-seeds=2", "--run-dir=run"]
    assert run_main(train.main, flags) == 0
    said = capfd.readouterr().err
    assert f"skills.py --resume --run-dir={paths[0]}\n" in said
    assert f"skills.py --preset=point-diayn --run-dir={paths[1]} " in said
    assert f"skills: {paths[0]}, {paths[1]}\n" in said
    params = final_params(Path("run"))
    assert not np.array_equal(*jax.tree.leaves(params.skills.policy)[-1])
    for seed, path in enumerate(paths):
        of_seed = jax.tree.map(lambda x, i=seed: x[i], params.skills)
        assert bits(of_seed) == bits(frozen(final_params(path)))
    runs = [RunDirectory.open(path) for path in paths]
    origins = [(str(run.path), run.run_id, settings_id(run.config)) for run in runs]
    written = json.loads(Path("run/skill_source.json").read_text())["origins"]
    assert [tuple(origin.values()) for origin in written] == origins


@pytest.fixture(scope="module")
def _whole(_discovered, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("hierarchical") / "whole"
    flags = [*TINY, "--seed=1", f"--hierarchy.skills-dir={_discovered}", f"--run-dir={run_dir}"]
    assert run_main(train.main, flags) == 0
    return run_dir


def test_a_run_that_is_stopped_while_its_skills_are_discovered_has_not_failed(
    monkeypatch, tmp_path, capfd
):
    """A cluster preempts: 0, as where training itself is stopped; there is no run yet."""

    def stopped(wanted):
        raise StoppedError("stopped", signal.SIGTERM)

    monkeypatch.setattr(skill_sources, "train_missing", stopped)
    assert run_main(train.main, [*TINY, f"--run-dir={tmp_path / 'run'}"]) == 0
    assert capfd.readouterr().err == "stopped\n"
    assert not (tmp_path / "run").exists()


def test_a_run_is_whole_without_the_skills_directory(
    _whole, discovered, tmp_path, monkeypatch, capfd
):
    """Stopped, its skills moved away, resumed: bit-equal to a run that was never stopped."""
    run_dir = tmp_path / "stopped"
    flags = [*TINY, "--seed=1", f"--hierarchy.skills-dir={discovered}", f"--run-dir={run_dir}"]
    with monkeypatch.context() as patch:
        stop_at(patch, 1, signal.SIGTERM)
        assert run_main(train.main, flags) == 0
    assert not (run_dir / "metatest.json").exists()
    skills = frozen(final_params(discovered))
    discovered.rename(tmp_path / "moved")
    assert run_main(train.main, ["--resume", f"--run-dir={run_dir}"]) == 0
    assert final_bits(run_dir) == final_bits(_whole)
    assert bits(final_params(run_dir).skills) == bits(jax.tree.map(lambda x: x[1], skills))
    reports = [json.loads((d / "metatest.json").read_text()) for d in (run_dir, _whole)]
    assert reports[0]["return"] == reports[1]["return"]
    records = read_jsonl(run_dir / "metrics.jsonl")
    assert [r["env_steps"] for r in records] == [4 * 4 * 2 * 20 * n for n in range(1, 7)]
    assert records[0]["skill_entropy"] > 0.9 * np.log(3)

    sizes = ["--num-iterations=2", "--num-tasks=4", "--episodes=4"]
    assert run_main(evaluate.main, [str(run_dir), *sizes, f"--out={tmp_path / 'out'}"]) == 0
    again = json.loads((tmp_path / "out" / "metatest.json").read_text())
    np.testing.assert_allclose(again["return"]["mean"], reports[0]["return"]["mean"], rtol=1e-5)


def test_a_policy_that_started_from_skills_needs_them_no_more(
    refused, monkeypatch, tmp_path, discovered
):
    """Stopped, its skills moved away, resumed."""
    run_dir = tmp_path / "run"
    flags = [*DISTILLED, f"--hierarchy.skills-dir={discovered}", f"--run-dir={run_dir}"]
    refused(train.main, [*flags, "--meta.latent-dim=1"], "meta.latent_dim: ", "distilled")
    config = parse_train(flags)
    setup = set_up(config)
    begun, usual = first_state(config, setup), jax.jit(setup.learner.init)(setup.keys)
    started, random = (s.params.policy["params"]["Dense_0"]["kernel"] for s in (begun, usual))
    assert np.abs(started - random).max() > 0.1, "it starts from the skills"
    with monkeypatch.context() as patch:
        stop_at(patch, 1, signal.SIGTERM)
        assert run_main(train.main, flags) == 0
    origins = json.loads((run_dir / "skill_source.json").read_text())["origins"]
    assert [origin["path"] for origin in origins] == [str(discovered / "seed0")]
    discovered.rename(tmp_path / "moved")
    assert run_main(train.main, ["--resume", f"--run-dir={run_dir}"]) == 0
    assert json.loads((run_dir / "metatest.json").read_text())["meta_iteration"] == 6


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("--hierarchy.options.length 3", ["hierarchy.options.length: ", "20"]),
        ("--hierarchy.options.length 0", ["hierarchy.options.length: ", "in 1.."]),
        ("--meta.memory-size 8 --meta.latent-dim 0 --meta.adapt params --meta.optimizer ppo",
         ["meta.memory_size: ", "hierarchy.skills"]),
        ("--hierarchy.skills random --hierarchy.skills-dir x", ["hierarchy.skills_dir: "]),
        ("--hierarchy.skill-preset push-diayn", ["hierarchy.skill_preset: ", "push", "point"]),
        ("--env.name push --hierarchy.skill-preset push-diayn-gaussian",
         ["hierarchy.skill_preset: ", "gaussian"]),
        ("--hierarchy.skills distilled --meta.latent-dim 0 --meta.adapt params",
         ["meta.latent_dim: ", "distilled"]),
        ("--hierarchy.skills-dir nowhere", ["nowhere"]),
    ],
)  # fmt: skip
def test_wrong_flags(refused, flags, names):
    refused(train.main, [*TINY, *flags.split()], *names)


def test_skills_have_to_fit(refused, discovered, finished):
    directory = f"--hierarchy.skills-dir={discovered}"
    field = f"hierarchy.skills_dir: {discovered}"
    refused(train.main, [*TINY, "--seed=2", directory], field, "has no seed 2")
    refused(train.main, [*TINY, "--env.name=push", directory], field, "env.name point")
    refused(train.main, [*TINY, f"--hierarchy.skills-dir={finished}"], finished, "make skills")
    (discovered / "seed1" / "skills.json").unlink()
    refused(train.main, [*TINY, "--num-seeds=2", directory], field, "is not finished")


def test_a_resumed_run_keeps_its_skills(refused, _whole, discovered, tmp_path):
    run_dir = Path(shutil.copytree(_whole, tmp_path / "whole"))
    resume = ["--resume", f"--run-dir={run_dir}"]
    other = f"--hierarchy.skills-dir={discovered}"
    refused(train.main, [*resume, other], "hierarchy.skills_dir: ", discovered)
    (run_dir / "skill_source.json").write_text("{}")
    refused(evaluate.main, [run_dir], run_dir / "skill_source.json")


def test_other_skills_in_the_same_directory_are_refused(refused, _whole, _discovered, tmp_path):
    """Of the same settings but one iteration more, discovered where the run's own were."""
    run_dir = Path(shutil.copytree(_whole, tmp_path / "whole"))
    own = _discovered.rename(_discovered.with_name("moved"))
    try:
        longer = replace(TINY_SKILLS, train=replace(TINY_SKILLS.train, num_iterations=3))
        flags = ["--preset=point-diayn", *changed_flags(longer), "--num-seeds=2"]
        assert run_main(skills.main, [*flags, f"--run-dir={_discovered}"]) == 0
        assert bits(frozen(final_params(_discovered))) != bits(frozen(final_params(own)))
        resume = ["--resume", f"--run-dir={run_dir}"]
        refused(train.main, resume, f"hierarchy.skills_dir: {_discovered}", "other skills now")
    finally:
        shutil.rmtree(_discovered, ignore_errors=True)
        own.rename(_discovered)


def test_the_config_survives_json(discovered):
    config = parse_train([*TINY, f"--hierarchy.skills-dir={discovered}"])
    assert config.hierarchy.skills_dir == discovered
    assert from_json(json.loads(json.dumps(to_json(config)))) == config


def test_skills_whose_last_checkpoint_is_damaged_are_not_chosen_among(discovered, tmp_path, capfd):
    """Those of the one before are other skills; their run can be resumed."""
    checkpoints = discovered / "checkpoints"
    shutil.copytree(checkpoints / "2", checkpoints / "1")
    (checkpoints / "2" / NAME).unlink()
    flags = [*TINY, f"--hierarchy.skills-dir={discovered}", f"--run-dir={tmp_path / 'run'}"]
    assert run_main(train.main, flags) == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: hierarchy.skills_dir: {discovered} is at 1 of 2 iterations")
