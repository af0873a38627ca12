"""Runs that several processes train together, by --distributed, and how one fails."""

import json
import signal
from pathlib import Path

import pytest

import skills
import train
from several import LIMIT_S, finished, started
from stopped_runs import final_bits, metrics, steps
from tiny_runs import SKILLS
from waiting import wait_until

SCRIPTS = Path(train.__file__).parent
SMALL_SKILLS = [
    *SKILLS,
    "--train.num-iterations=2",
    "--evaluation.num-tasks=5",
    "--evaluation.num-episodes=2",
]
LOST = "another process of the run has ended"


def script(name: str, *flags) -> list[object]:
    return [SCRIPTS / f"{name}.py", *flags]


def report(run_dir: Path, name: str) -> dict:
    content = json.loads((run_dir / name).read_text())
    return {k: v for k, v in content.items() if k != "run_id"}


def names(run_dir: Path) -> set[str]:
    return {p.name for p in run_dir.iterdir()}


@pytest.mark.slow
def test_a_run_of_two_processes_ends_as_that_of_one(tiny, tmp_path):
    """Bit for bit, trained, tested, stopped and resumed by other numbers of processes."""
    one, two = tmp_path / "one", tmp_path / "two"
    flags = [*tiny, "--train.num-iterations=6"]
    finished(script("train", *flags, f"--run-dir={one}"), count=1, devices=2)
    said = finished(script("train", *flags, f"--run-dir={two}", "--distributed"))
    assert "Meta-test" in said[0]
    assert all(line.startswith("[Gloo]") for line in said[1].splitlines()), "it is silent"
    again = ["--resume", "--train.num-iterations=9"]
    for _ in range(2):
        assert names(one) == names(two)
        assert steps(one) == steps(two)
        assert final_bits(one) == final_bits(two)
        assert metrics(one) == metrics(two)
        assert report(one, "metatest.json") == report(two, "metatest.json")
        finished(script("train", *again, f"--run-dir={one}", "--distributed"))
        finished(script("train", *again, f"--run-dir={two}"), count=1, devices=2)


@pytest.mark.slow
def test_two_processes_discover_the_skills_of_one(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    finished(script("skills", *SMALL_SKILLS, f"--run-dir={one}"), count=1, devices=2)
    finished(script("skills", *SMALL_SKILLS, f"--run-dir={two}", "--distributed"))
    assert names(one) == names(two)
    assert final_bits(one) == final_bits(two)
    assert report(one, "skills.json") == report(two, "skills.json")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_ends_one_process_ends_both(number, tiny, tmp_path):
    """A signal to stop is obeyed by all; where one is killed the other says so at once."""
    run_dir = tmp_path / "run"
    flags = ["--train.num-iterations=100000", f"--run-dir={run_dir}", "--distributed"]
    with started(script("train", *tiny, *flags)) as (first, second):
        third = run_dir / "checkpoints" / "3"
        wait_until(lambda: third.exists() or first.poll() is not None, LIMIT_S)
        second.send_signal(number)
        _, said = first.communicate(timeout=LIMIT_S)
        second.communicate(timeout=LIMIT_S)
    if number == signal.SIGTERM:
        assert (first.returncode, second.returncode) == (0, 0)
        assert "stopped by SIGTERM" in said
        assert steps(run_dir)[-1] == len(metrics(run_dir))
    else:
        assert first.returncode == 1
        assert LOST in said


@pytest.mark.slow
def test_what_is_not_finite_ends_both(tiny, tmp_path):
    flags = ["--meta.ppo.learning-rate=1e30", f"--run-dir={tmp_path / 'run'}", "--distributed"]
    with started(script("train", *tiny, *flags)) as processes:
        said = [process.communicate(timeout=LIMIT_S)[1] for process in processes]
        assert [process.returncode for process in processes] == [1, 1]
    assert "error: not finite at meta-iteration 1: " in said[0]
    assert f"the states of meta-iteration 0 and 1 are in {tmp_path / 'run' / 'broken'}" in said[0]
    assert LOST not in said[1]


def test_a_process_that_is_told_nothing_is_refused(tiny, tmp_path):
    """jax looks for its variables where nothing is set."""
    flags = [f"--run-dir={tmp_path / 'run'}", "--distributed"]
    with started(script("train", *tiny, *flags), count=1) as (process,):
        out, said = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 2
    assert out == ""
    assert said.startswith("error: distributed: neither SLURM ")
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("address", "count", "number"),
    [
        ("localhost:1", "2", ""),
        ("localhost:1", "two", "0"),
        ("localhost:1", "2", "2"),
        ("localhost:1", "2", "-1"),
        ("localhost", "2", "0"),
        ("", "2", "0"),
    ],
)
def test_a_process_that_is_told_nonsense_is_refused(address, count, number, refused, monkeypatch):
    told = {"COORDINATOR_ADDRESS": address, "NUM_PROCESSES": count, "PROCESS_ID": number}
    for name, value in told.items():
        monkeypatch.setenv(f"JAX_{name}", value)
    refused(train.main, ["--preset=point-maesn", "--distributed"], "distributed: ", *told)
    refused(skills.main, ["--preset=point-diayn", "--distributed"], "distributed: ", *told)


def test_missing_skills_are_not_discovered_by_each_process(refused):
    flags = ["--preset=point-hmrl-skills", "--distributed"]
    refused(train.main, flags, "distributed: ", "runs/skills/point-diayn-seed0")
