"""Whole sweeps of the point robot by the command line: stopped, killed, on every executor."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from fake_sweeps import ids, rows, write_spec
from stopped_runs import final_bits
from sweeping.directory import SweepDirectory
from sweeping.queue import last_checkpoint
from waiting import wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LIMIT_S = 300
SMALL = {
    "train.num_iterations": 60,
    "train.chunk_size": 2,
    "train.checkpoint_every": 2,
    "meta.num_train_tasks": 4,
    "meta.meta_batch_size": 4,
    "meta.num_episodes": 4,
    "meta.hidden_sizes": [8],
    "metatest.num_tasks": 4,
    "metatest.num_episodes": 4,
}
"""Of runs that do train."""


@pytest.mark.parametrize("executor", ["local", "ray", "slurm-local"])
def test_a_whole_sweep_is_stopped_and_goes_on(tmp_path, executor):
    """On the point robot, by the command line."""
    if executor == "ray":
        pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    fields = {"meta.kl_coef": [0.1, 0.5]}
    content = {"preset": "point-maesn", "fields": fields, "set": SMALL, "seeds": 2}
    spec = write_spec(tmp_path / "point.yaml", content | {"vmap": ["seed"]})
    command = [sys.executable, str(ROOT / "experiments/sweep.py"), str(spec), "--jobs=1"]
    command.append(f"--executor={executor}")
    first, second = (tmp_path / "runs/sweeps/point/runs" / name for name in ids(spec))
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex}
    going = subprocess.Popen(command, cwd=tmp_path, env=environment)
    wait_until((first / "seed0/metrics.jsonl").exists, LIMIT_S)
    time.sleep(0.5)
    going.terminate()
    assert going.wait(timeout=120) == 128 + signal.SIGTERM
    assert not second.exists()
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 0, done.stderr
    log = (tmp_path / f"runs/sweeps/point/logs/{first.name}.log").read_text()
    assert "resume with" in log
    assert "resumed at" in log
    table = rows(tmp_path / "runs/sweeps/point/results.csv")
    assert [row["seed"] for row in table] == ["0", "1"] * 2
    assert all(-20.0 < float(row["return_5"]) < 0.0 for row in table)
    assert "Best settings" in done.stdout


def run_of_a_sweep(sweep_pid: int) -> int:
    """The process of its only run."""
    said = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
    pairs = [line.split() for line in said.splitlines()]
    (found,) = (pid for pid, parent in pairs if int(parent) == sweep_pid)
    return int(found)


@pytest.mark.parametrize(
    ("number", "how"),
    [
        (signal.SIGKILL, "failed with exit code -9, once more"),
        (signal.SIGTERM, "was stopped, and goes on"),
    ],
)
def test_a_sweep_whose_run_is_killed_ends_as_if_nothing_had_been(tmp_path, number, how):
    """Bit for bit; the run goes on from its checkpoint in the same sweep."""
    content = {"preset": "point-maesn", "fields": {"meta.kl_coef": [0.1]}, "set": SMALL}
    spec = write_spec(tmp_path / "point.yaml", content | {"seeds": 1})
    (name,) = ids(spec)
    command = [sys.executable, str(ROOT / "experiments/sweep.py"), str(spec)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, f"--sweep-dir={whole}"], env=environment, check=True, timeout=LIMIT_S)
    with subprocess.Popen(
        [*command, f"--sweep-dir={killed}"], env=environment, stderr=subprocess.PIPE, text=True
    ) as going:
        wait_until(lambda: (last_checkpoint(killed / "runs" / name) or 0) >= 4, LIMIT_S)
        os.kill(run_of_a_sweep(going.pid), number)
        _, said = going.communicate(timeout=LIMIT_S)
    assert going.returncode == 0, said
    assert f"{name}: {how}" in said
    assert "resumed at meta-iteration" in (killed / f"logs/{name}.log").read_text()
    assert SweepDirectory.open(killed).states() == {}
    runs = [directory / "runs" / name for directory in (whole, killed)]
    assert final_bits(runs[0]) == final_bits(runs[1])
    tables = [rows(directory / "results.csv") for directory in (whole, killed)]
    without_clock = [[row | {"minutes": ""} for row in table] for table in tables]
    assert without_clock[0] == without_clock[1]
