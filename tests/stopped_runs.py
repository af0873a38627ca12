"""Stops runs, and reads what they left."""

import os
import signal
from pathlib import Path

import train
from cli import run_main
from explorax.checkpoint import Checkpoints
from explorax.sinks import JsonlSink, read_jsonl
from learners import restore_latest, set_up
from run_directory import RunDirectory
from trees import bits


def final_bits(run_dir: Path) -> list[tuple]:
    """The newest checkpoint's state, leaf by leaf."""
    run = RunDirectory.open(run_dir)
    state, _ = restore_latest(run, set_up(run.config))
    return bits(state)


def steps(run_dir: Path) -> list[int]:
    with Checkpoints(run_dir / "checkpoints", read_only=True) as checkpoints:
        return checkpoints.steps()


def metrics(run_dir: Path) -> list[dict]:
    """Of every iteration, but for the clocks."""
    rows = read_jsonl(run_dir / "metrics.jsonl")
    return [{k: v for k, v in row.items() if k not in ("wall_s", "steps_per_s")} for row in rows]


def stop_at(monkeypatch, meta_iteration: int, number: signal.Signals) -> None:
    """The signal comes, once, while the metrics of an iteration are written."""
    write, sent = JsonlSink.write, []

    def write_and_stop(self, metrics):
        write(self, metrics)
        if metrics["meta_iteration"] == meta_iteration and not sent:
            sent.append(number)
            os.kill(os.getpid(), number)

    monkeypatch.setattr(JsonlSink, "write", write_and_stop)


def whole_and_resumed(monkeypatch, flags: list[str], root: Path) -> tuple[Path, Path]:
    """Runs of the same flags, one never stopped and one resumed: bit-equal."""
    whole, stopped = root / "whole", root / "stopped"
    assert run_main(train.main, [*flags, f"--run-dir={whole}"]) == 0
    with monkeypatch.context() as patch:
        stop_at(patch, 1, signal.SIGTERM)
        assert run_main(train.main, [*flags, f"--run-dir={stopped}"]) == 0
    assert not list(stopped.rglob("metatest.json"))
    assert run_main(train.main, ["--resume", f"--run-dir={stopped}"]) == 0
    assert final_bits(stopped) == final_bits(whole)
    return whole, stopped
