"""Checkpoints that are not as they were written: passed over, said so, and saved anew."""

import errno
import json
import os

import pytest

import evaluate
import explore
import train
from cli import run_main
from explorax import checksums
from explorax.checkpoint import SCORE, Checkpoints
from explorax.checksums import NAME
from explorax.sinks import JsonlSink, read_jsonl
from stopped_runs import final_bits, steps

SIZES = ["--num-iterations=1", "--num-tasks=4", "--episodes=4"]


def damage(run_dir, step: int) -> None:
    """A bit flips in the largest file: one with arrays."""
    files = [p for p in (run_dir / "checkpoints" / str(step) / "state").rglob("*") if p.is_file()]
    file = max(files, key=lambda p: p.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_resumed_run_goes_on_from_the_step_before(finished, capfd):
    """It is bit-equal to the one that was never damaged, and is saved again."""
    expected = final_bits(finished)
    damage(finished, 6)
    assert run_main(train.main, ["--resume", f"--run-dir={finished}"]) == 0
    said = capfd.readouterr().err
    (line,) = [line for line in said.splitlines() if str(finished / "checkpoints") in line]
    assert line.startswith(f"{finished / 'checkpoints' / '6'}: state/")
    assert line.endswith("is not as it was written; 3 is used in its place")
    assert "resumed at meta-iteration 3" in said
    assert final_bits(finished) == expected
    assert capfd.readouterr().err == ""
    assert steps(finished) == [3, 6]
    iterations = [r["meta_iteration"] for r in read_jsonl(finished / "metrics.jsonl")]
    assert iterations == [1, 2, 3, 4, 5, 6]


def test_evaluating_uses_the_step_before_and_leaves_the_damage(finished, tmp_path, capfd, snapshot):
    damage(finished, 6)
    before, out = snapshot(finished), tmp_path / "out"
    assert run_main(evaluate.main, [str(finished), *SIZES, f"--out={out}"]) == 0
    assert "is not as it was written; 3 is used in its place" in capfd.readouterr().err
    assert json.loads((out / "metatest.json").read_text())["meta_iteration"] == 3
    assert snapshot(finished) == before


def test_explore_wants_the_last_step_of_a_run(finished, tmp_path, capfd):
    damage(finished, 6)
    assert run_main(explore.main, [str(finished), f"--out={tmp_path / 'x.png'}"]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert "3 is used in its place" in lines[0]
    assert "is at 3 of 6 meta-iterations" in lines[1]


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["checkpoint", "metrics"])
def test_a_full_disk_ends_a_run_that_can_go_on(tiny, finished, tmp_path, monkeypatch, capfd, where):
    """Exit code 1, and one line that names the path."""
    run_dir = tmp_path / "full"
    write, line = checksums.write, JsonlSink.write

    def write_until_full(path):
        (full_disk if path.name == "6" else write)(path)

    def line_until_full(sink, metrics):
        (full_disk if metrics["meta_iteration"] == 5 else line)(sink, metrics)

    with monkeypatch.context() as patch:
        if where == "checkpoint":
            patch.setattr(checksums, "write", write_until_full)
        else:
            patch.setattr(JsonlSink, "write", line_until_full)
        flags = [*tiny, "--train.num-iterations=6", f"--run-dir={run_dir}"]
        assert run_main(train.main, flags) == 1
    error = capfd.readouterr().err.splitlines()[-1]
    path = run_dir / "checkpoints" / "6" if where == "checkpoint" else run_dir
    assert error.startswith(f"error: {path}: ")
    assert "No space left on device" in error
    assert run_main(train.main, ["--resume", f"--run-dir={run_dir}"]) == 0
    assert "resumed at meta-iteration 3" in capfd.readouterr().err
    assert final_bits(run_dir) == final_bits(finished)


@pytest.mark.parametrize("kind", ["damaged", "older"])
def test_without_a_whole_checkpoint_nothing_is_done(refused, finished, kind):
    for step in (3, 6):
        if kind == "damaged":
            damage(finished, step)
        else:
            (finished / "checkpoints" / str(step) / NAME).unlink()
    newest = f"{finished / 'checkpoints' / '6'}: {'state/' if kind == 'damaged' else NAME}"
    refused(train.main, ["--resume", f"--run-dir={finished}"], newest)
    refused(evaluate.main, [finished], newest)
    refused(explore.main, [finished], newest)


def test_the_best_is_what_earned_most(finished, tmp_path, capfd):
    returns = [r["return_post"] for r in read_jsonl(finished / "metrics.jsonl")]
    best = 3 if sum(returns[:3]) > sum(returns[3:]) else 6
    with Checkpoints(finished / "checkpoints", read_only=True) as checkpoints:
        assert checkpoints.best() == best
    flags = [str(finished), "--best", *SIZES, f"--out={tmp_path / 'out'}"]
    assert run_main(evaluate.main, flags) == 0
    assert f"checkpoint of meta-iteration {best}" in capfd.readouterr().err
    report = json.loads((tmp_path / "out" / "metatest.json").read_text())
    assert report["meta_iteration"] == best
    damage(finished, best)
    assert run_main(evaluate.main, flags) == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {finished / 'checkpoints' / str(best)}: state/")


def test_a_score_is_the_mean_of_the_iterations_between_two_checkpoints(finished, refused):
    """Of as many, whenever runs stop and go on; without any score there is no best."""
    for num_iterations in (8, 9):
        flags = ["--resume", f"--run-dir={finished}", f"--train.num-iterations={num_iterations}"]
        assert run_main(train.main, flags) == 0
    returns = [r["return_post"] for r in read_jsonl(finished / "metrics.jsonl")]
    scores = {step: sum(returns[step - 3 : step]) for step in (3, 6, 8, 9)}
    best = max(scores, key=lambda step: scores[step])
    with Checkpoints(finished / "checkpoints", read_only=True) as checkpoints:
        assert checkpoints.best() == best
    assert steps(finished) == sorted({8, 9, best})
    for step in steps(finished):
        (finished / "checkpoints" / str(step) / SCORE).write_text("null")
    refused(evaluate.main, [finished, "--best"], "best: ", finished / "checkpoints")
