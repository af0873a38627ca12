"""Whatever flags a run is given, it works, or they are refused in one line that names them.

The command's own code runs as far as training; there its programs are traced, not compiled.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from any_flags import command_lines, names_something
from any_specs import specs
from hypothesis import example, given

import child_runs
import learners
import skill_sources
import skills
import train
import wandb_sweep
from cli import run_main
from config import Config, SkillsRunConfig
from draws import ANY
from explorax.metatest import meta_test
from explorax.train import compile_chunk
from explorax_envs.ant import Ant
from explorax_envs.push import Push
from explorax_envs.wheeled import Wheeled
from presets import PRESETS
from run_directory import RunDirectory
from runtime import make_env
from skill_presets import SKILL_PRESETS

SCRIPT = Path(__file__).parents[2] / "experiments" / "train.py"
SMALL = [
    "--env.name=point",
    "--meta.num-episodes=2",
    "--meta.meta-batch-size=2",
    "--train.num-iterations=1",
    "--train.chunk-size=1",
    "--metatest.num-tasks=2",
    "--metatest.num-iterations=1",
    "--metatest.num-episodes=2",
]
"""Of a real run, which would otherwise take its time."""


def trace(run: RunDirectory, setup: learners.Setup, *_) -> tuple[SimpleNamespace, None]:
    """In place of training: shapes and types of all that it, and the meta-test, would compute."""
    config, state = run.config, learners.template(setup)
    state, _ = jax.eval_shape(compile_chunk(setup.learner, config.train.chunk_size), state, 1)
    if isinstance(config, Config):
        test, env = config.metatest, make_env(config.env, reward="sparse")
        learner = learners.meta_learner(config, env, setup.mesh)
        adapt = partial(meta_test, env, learner, setup.mesh, test.num_iterations, test.num_episodes)
        over = jax.vmap(adapt, in_axes=(0, None, 0)) if config.num_seeds > 1 else adapt
        num_tasks = test.num_tasks - test.num_tasks % -setup.mesh.size
        tasks = jax.eval_shape(partial(env.sample_tasks, num_tasks=num_tasks), jax.random.key(0))
        jax.eval_shape(over, state.params, tasks, setup.keys)
    return SimpleNamespace(), None


def skills_that_are_there(wanted) -> list[Path]:
    """In place of discovery: runs that look finished."""
    for path, config in wanted.items():
        if child_runs.command_of(config, path) is not None:
            run = RunDirectory.create(replace(config, run_dir=path))
            content = asdict(config.evaluation) | {"meta_iteration": config.train.num_iterations}
            (run.path / "skills.json").write_text(json.dumps(content))
    return list(wanted)


@pytest.fixture
def traced(tmp_path, monkeypatch, capfd, snapshot):
    """Runs a command line in a new directory as far as training."""
    monkeypatch.setattr("training.train", trace)
    monkeypatch.setattr(skill_sources, "train_missing", skills_that_are_there)
    for script in (train, skills):
        monkeypatch.setattr(script, "_report", lambda *_: None)
    for env in (Push, Wheeled, Ant):
        monkeypatch.setattr(env, "step", lambda _, state, action: state)  # tracing it takes seconds

    def check(main, cls, argv):
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        monkeypatch.chdir(tmp_path)
        (tmp_path / "a file").write_text("mine")
        capfd.readouterr()
        code = run_main(main, argv)
        said = capfd.readouterr()
        assert (tmp_path / "a file").read_text() == "mine"
        if code == 0:
            return
        assert code == 2
        assert said.out == ""
        (line,) = said.err.splitlines()
        assert line.startswith("error: ")
        assert names_something(line.removeprefix("error: "), cls, argv)
        left = {p for p in snapshot(tmp_path) if not p.is_relative_to("runs/skills")}
        assert left == {Path("a file")}

    return check


of_meta_learners = given(argv=command_lines(Config, sorted(PRESETS)))
of_skills = given(argv=command_lines(SkillsRunConfig, sorted(SKILL_PRESETS)))


@of_meta_learners
@example(argv=["--preset=point-maesn", "\ud800"])  # which is printed as a question mark
@ANY(max_examples=12)
def test_any_flags_of_a_meta_learner(traced, argv):
    traced(train.main, Config, argv)


@of_skills
@example(argv=["--preset=point-diayn", f"--skills.replay-size={2**31 - 1}"])
@ANY(max_examples=20)
def test_any_flags_of_a_run_of_skills(traced, argv):
    traced(skills.main, SkillsRunConfig, argv)


@pytest.mark.slow
@of_meta_learners
@ANY(max_examples=350)
def test_350_command_lines_of_meta_learners(traced, argv):
    traced(train.main, Config, argv)


@pytest.mark.slow
@of_skills
@ANY(max_examples=150)
def test_150_command_lines_of_runs_of_skills(traced, argv):
    traced(skills.main, SkillsRunConfig, argv)


@given(text=specs())
@ANY(max_examples=200)
def test_any_spec_of_a_sweep(tmp_path, capfd, text):
    """It is read and its runs are known, or the file is named."""
    file = tmp_path / "spec.yaml"
    file.write_bytes(text.encode(errors="surrogatepass"))
    code = run_main(wandb_sweep.main, [str(file), "--dry-run"])
    said = capfd.readouterr()
    assert code in (0, 2)
    if code == 2:
        (line,) = said.err.splitlines()
        assert line.startswith(f"error: {file}: ")


@pytest.mark.parametrize(
    ("line", "is_named"),
    [
        ("meta.kl_coef: must be in 0..1", True),
        ("meta: must be an object", True),
        ("--meta.kl-coef: invalid value 'x'", True),
        ("Missing value for argument --preset", True),
        ("a file/below: Not a directory", True),
        ("Unrecognized options: 1, --bogus", True),
        ("Unrecognized options: 2", False),
        ("ValueError: foo", False),
        ("b/config.json: is missing", False),
        ("shapes: (3,) is not (4,)", False),
        ("--no-such-flag", False),
    ],
)
def test_what_an_error_has_to_name(line, is_named):
    argv = ["--preset=point-maesn", "--bogus", "1", "--run-dir=a file"]
    assert names_something(line, Config, argv) == is_named


def out_of_memory(*_):
    """In place of training: what no machine can hold."""
    jax.jit(lambda: jnp.zeros(2**43))()


def test_memory_that_does_not_suffice_is_said(tiny, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("training.train", out_of_memory)
    assert run_main(train.main, [*tiny, f"--run-dir={tmp_path / 'run'}"]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: memory does not suffice (")


@pytest.mark.slow
@given(argv=command_lines(Config, ["point-maesn", "point-rl2", "point-rnd", "point-hmrl-latent"]))
@ANY(max_examples=10)
def test_any_flags_of_the_command_itself(tmp_path_factory, argv):
    """Not finite any more, exit code 1, is what odd step sizes may come to."""
    words = [*argv, *SMALL]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *(w.encode(errors="replace").decode() for w in words)],
        cwd=tmp_path_factory.mktemp("empty"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = done.stderr.splitlines()
    assert done.returncode in (0, 1, 2), done.stderr
    assert "Traceback" not in done.stderr
    if done.returncode != 0:
        assert said[-1].startswith("error: ")
