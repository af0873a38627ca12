"""Whatever becomes of a file of a run, commands work, or name a path and change nothing."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from any_damage import Damage, copy, damages
from any_flags import fields_of
from hypothesis import given
from hypothesis import strategies as st

import evaluate
import explore
import report
import skills
import sweep
import sweep_status
import train
from cli import run_main
from config import Config, SkillsRunConfig
from draws import ANY
from fake_sweeps import SPEC, write_spec
from run_directory import RunDirectory
from stopped_runs import final_bits
from tiny_runs import SKILLS

SIZES = ["--num-iterations=1", "--num-tasks=2", "--episodes=2"]
COMMANDS = {
    "resume": (train.main, ["--resume", "--run-dir=run"]),
    "evaluate": (evaluate.main, ["run", *SIZES, "--out=out"]),
    "explore": (explore.main, ["run", "--out=out/paths.png"]),
    "report": (report.main, ["run", "--out=out/page.html"]),
}
SMALL_SKILLS = [
    *SKILLS,
    "--train.num-iterations=2",
    "--evaluation.num-tasks=2",
    "--evaluation.num-episodes=1",
    "--run-dir=run",
]
ABOVE_SKILLS = [
    "--preset=point-hmrl-skills",
    "--meta.num-train-tasks=2",
    "--meta.meta-batch-size=2",
    "--meta.num-episodes=2",
    "--meta.hidden-sizes=4",
    "--train.num-iterations=1",
    "--metatest.num-tasks=2",
    "--metatest.num-iterations=1",
    "--metatest.num-episodes=2",
    "--hierarchy.skills-dir=run",
    "--run-dir=out/above",
]


FIELDS = [name.replace("-", "_") for kind in (Config, SkillsRunConfig) for name in fields_of(kind)]


def names_of(files: Sequence[Path]) -> set[str]:
    """What an error may call damaged files: their names, or the checkpoints or runs they are of.

    Of a config a field, where the checkpoints have another value of it.
    """
    names = {file.name for file in files} | {str(Path(*file.parts[:3])) for file in files}
    return names | {f"error: {name}: " for name in FIELDS if "config.json" in names}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def survives(place, capfd, snapshot):
    """Damages a copy of a directory, and runs a command on it."""

    def check(
        whole: Path, damage: Damage, main, argv: list[str], resumes: bool = False, kept: str = ""
    ) -> int:
        copy(whole, Path("run"))
        files = damage.do(Path("run"))
        before = snapshot(Path("run", kept))
        shutil.rmtree("out", ignore_errors=True)
        capfd.readouterr()
        code = run_main(main, argv)
        said = capfd.readouterr().err.splitlines()
        assert code in ((0, 1, 2) if resumes else (0, 2))
        if code != 0:
            assert said[-1].startswith("error: ")
            assert any(name in line for name in names_of(files) for line in said), said
            assert not any(line.startswith("Traceback") for line in said)
        if code != 0 or not resumes:
            assert snapshot(Path("run", kept)) == before
        return code

    return check


@pytest.mark.slow
@given(damage=damages(), name=st.sampled_from(sorted(COMMANDS)))
@ANY(max_examples=200)
def test_any_damaged_file_of_a_run(_finished, survives, damage, name):
    """A run that goes on all the same ends where the whole one has ended."""
    code = survives(_finished, damage, *COMMANDS[name], name == "resume")
    if name == "resume" and code == 0:
        now, was = (RunDirectory.open(path) for path in (Path("run"), _finished))
        if replace(now.config, run_dir=None) == replace(was.config, run_dir=None):
            assert final_bits(now.path) == final_bits(was.path)


@pytest.fixture(scope="module")
def _discovered(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("skills"))
        assert run_main(skills.main, SMALL_SKILLS) == 0
        return Path("run").absolute()


@pytest.mark.slow
@given(damage=damages())
@ANY(max_examples=40)
def test_any_damaged_file_of_the_skills_below_a_controller(_discovered, survives, damage):
    survives(_discovered, damage, train.main, ABOVE_SKILLS)


@pytest.fixture(params=["grid", "tpe"])
def swept(request, place, fake_runs, monkeypatch):
    """A sweep whose runs have ended; they trained nothing."""
    monkeypatch.setattr("sweeping.picture.draw", lambda *_: False)  # it would take most of the time
    drawn = {"method": "tpe", "num_runs": 3} if request.param == "tpe" else {}
    write_spec(place / "run.yaml", SPEC | drawn)
    assert run_main(sweep.main, ["run.yaml", "--sweep-dir=whole"]) == 0
    return place / "whole"


@given(damage=damages(), again=st.booleans())
@ANY(max_examples=50)
def test_any_damaged_file_of_a_sweep(swept, survives, damage, again):
    """Its runs' files, too."""
    if again:
        argv = ["run.yaml", "--sweep-dir=run"]
        survives(swept, damage, sweep.main, argv, resumes=True, kept="runs")
    else:
        survives(swept, damage, sweep_status.main, ["--sweep-dir=run"])
