"""One tiny run on the point robot that several tests look at, and one of skills."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import pytest

import episode_pictures
import train
from cli import run_main
from fake_sweeps import FakeRuns
from run_directory import RunDirectory
from skill_presets import SKILL_PRESETS

_DISCOVERED = Path(train.__file__).parent / "results" / "push-diayn"

TINY = [
    "--preset=point-maesn",
    "--meta.num-train-tasks=4",
    "--meta.meta-batch-size=4",
    "--meta.num-episodes=4",
    "--meta.hidden-sizes=8",
    "--meta.ppo.num-epochs=2",
    "--train.chunk-size=2",
    "--train.checkpoint-every=3",
    "--metatest.num-tasks=4",
    "--metatest.num-iterations=2",
    "--metatest.num-episodes=4",
]

jax.devices()  # as many as the tests use, before a run makes one per core


def files(path: Path) -> dict[Path, bytes]:
    """Everything below a directory."""
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.fixture
def refused(tmp_path, monkeypatch, capfd, snapshot):
    """Runs a script that has to refuse: exit code 2, one line that names everything given."""
    monkeypatch.chdir(tmp_path)

    def check(main, flags, *names):
        before = snapshot(tmp_path)
        capfd.readouterr()
        assert run_main(main, [str(flag) for flag in flags]) == 2
        said = capfd.readouterr()
        assert said.out == ""
        (line,) = said.err.splitlines()
        assert line.startswith("error: ")
        for name in names:
            assert str(name) in line
        assert snapshot(tmp_path) == before

    return check


@pytest.fixture
def fake_runs(tmp_path, monkeypatch):
    """A sweep's runs train nothing, below an empty working directory."""
    monkeypatch.chdir(tmp_path)
    runs = FakeRuns()
    monkeypatch.setattr("sweeping.queue.command_of", runs)
    monkeypatch.setattr("sweep.check_vmap", lambda *_: None)  # it takes seconds
    return runs


@pytest.fixture(scope="session")
def tiny():
    """Flags of the smallest run."""
    return TINY


@pytest.fixture(scope="session")
def snapshot():
    """Reads a directory's files."""
    return files


@pytest.fixture(scope="module", autouse=True)
def _no_episodes_drawn():
    """They would take most of the time; the one run that several tests look at has them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("report_run.is_drawn", lambda _: False)
        yield


@pytest.fixture(scope="session")
def _finished(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "finished"
    flags = [*TINY, "--train.num-iterations=6", f"--run-dir={run_dir}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("report_run.is_drawn", episode_pictures.is_drawn)
        assert run_main(train.main, flags) == 0
    return run_dir


@pytest.fixture
def finished(_finished, tmp_path):
    """A copy of a run of six meta-iterations that was never stopped."""
    return Path(shutil.copytree(_finished, tmp_path / "finished"))


@pytest.fixture
def skilled(tmp_path):
    """A run of skills on Push with the results of one that was done."""
    config = replace(SKILL_PRESETS["push-diayn"], run_dir=tmp_path / "skilled")
    run = RunDirectory.create(config)
    for name in ("skills.json", "skills.png", "skills.gif"):
        shutil.copy(_DISCOVERED / name, run.path)
    learned = {"intrinsic_reward": 1.5, "accuracy": 0.5, "distinct_skills": 3.0}
    lines = [
        {"meta_iteration": i, "env_steps": 10_000 * i, "wall_s": wall_s, "steps_per_s": 4000.0}
        for i, wall_s in ((1, 12.5), (400, 1010.0))
    ]
    run.metrics.write_text("".join(json.dumps(line | learned) + "\n" for line in lines))
    return run.path
