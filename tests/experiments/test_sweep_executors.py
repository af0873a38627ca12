"""Sweeps come to the same wherever their runs run: by submitit, by a made-up SLURM, by Ray."""

import json
import os
import signal
import socket
import subprocess
import sys
import uuid

import pytest

import fake_slurm
import sweep
from cli import run_main
from commands import is_locked
from fake_sweeps import FAILS, SPEC, ids, rows, write_spec
from sweeping.directory import SweepDirectory
from waiting import wait_until

SMALL = SPEC | {"seeds": [0], "fields": {"meta.inner_lr_mean": [1.0, 2.0]}}

IS_TOLD = """
import os, pathlib, signal, sys, time
def save(number, _):
    time.sleep(0.5)
    pathlib.Path({run!r}, "checkpoints", {step!r}).mkdir(parents=True, exist_ok=True)
    print("saved")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
os.kill({whom}, signal.{number})
time.sleep(30)
"""

SLOW = pytest.mark.slow  # Ray takes ten seconds to start


@pytest.fixture(scope="module")
def ray_token():
    """What clusters of these tests ask for; Ray would keep one in the home directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", uuid.uuid4().hex)
        pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
        yield


@pytest.fixture(scope="module")
def ray_address(ray_token):
    """A running cluster of two CPUs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    flags = [f"--port={address.split(':')[1]}", "--num-cpus=2", "--node-ip-address=127.0.0.1"]
    quiet = ["--include-dashboard=false", "--disable-usage-stats"]
    head = subprocess.Popen([*command, *flags, *quiet], stdout=subprocess.PIPE, text=True)
    assert head.stdout is not None
    while "started" not in (line := head.stdout.readline()):
        assert line, "Ray has not started"
    yield address
    head.terminate()
    head.communicate(timeout=30)


@pytest.fixture(
    params=["slurm", *(pytest.param(where, marks=SLOW) for where in ("slurm-local", "ray"))]
)
def flags(request, tmp_path, monkeypatch):
    """What asks for an executor."""
    if request.param == "ray":
        address = request.getfixturevalue("ray_address")
        return ["--executor=ray", f"--ray-address={address}"]
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 0)
    monkeypatch.setattr("sweeping.slurm_executor.POLL_S", 0.1)
    if request.param == "slurm":
        fake_slurm.install(tmp_path / "slurm", monkeypatch)
    return [f"--executor={request.param}"]


SWEEPS = """
import json, sys
import sweep
from sweeping import queue
from cli import run_main
from fake_sweeps import FakeRuns
queue.command_of = FakeRuns()
queue.command_of.programs = json.loads(sys.argv[1])
sys.exit(run_main(sweep.main, sys.argv[2:]))
"""

SAVES = """
import signal, sys, time
def save(number, _):
    time.sleep(1)
    print("saved after", signal.Signals(number).name)
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
signal.signal(signal.SIGINT, save)
print("began", flush=True)
time.sleep(60)
"""


def told(number: str, whom: str, run="", step="") -> str:
    """A program that has its sweep, or what attends to it, told to stop, and saves."""
    return IS_TOLD.format(run=str(run), step=step, whom=whom, number=number)


def test_results_are_those_of_local_processes(fake_runs, flags, tmp_path, capfd):
    spec = write_spec(tmp_path / "where.yaml", SMALL)
    assert run_main(sweep.main, [str(spec), "--sweep-dir=here"]) == 0
    one, _ = ids(spec)
    fake_runs.programs[one] = [FAILS]
    assert run_main(sweep.main, [str(spec), "--sweep-dir=there", "--jobs=2", *flags]) == 0
    assert rows(tmp_path / "there/results.csv") == rows(tmp_path / "here/results.csv")
    assert fake_runs.started.count(one) == 3
    log = (tmp_path / f"there/logs/{one}.log").read_text()
    assert log.index("no more memory") < log.index("writes")
    assert "failed with exit code 1, once more" in capfd.readouterr().err


def test_a_stopped_sweep_goes_on(fake_runs, flags, tmp_path, capfd):
    spec = write_spec(tmp_path / "stops.yaml", SMALL)
    one, _ = ids(spec)
    fake_runs.programs[one] = [told("SIGTERM", str(os.getpid()))]
    before = signal.getsignal(signal.SIGTERM)
    assert run_main(sweep.main, [str(spec), "--jobs=1", *flags]) == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    directory = SweepDirectory.open(tmp_path / "runs/sweeps/stops")
    assert directory.log(one).read_text().endswith("saved\n"), "it is waited for"
    assert directory.states() == {one: "stopped"}
    assert f"sweep.py {spec} --jobs=1 {' '.join(flags)}" in capfd.readouterr().err
    assert run_main(sweep.main, [str(spec), "--jobs=1", *flags]) == 0
    assert fake_runs.started == [one, *ids(spec)]


def test_a_preempted_run_goes_on(fake_runs, flags, tmp_path, capfd):
    spec = write_spec(tmp_path / "preempted.yaml", SMALL)
    one, two = ids(spec)
    run = tmp_path / "runs/sweeps/preempted/runs" / one
    fake_runs.programs[one] = [told("SIGTERM", "os.getppid()", run, s) for s in ("2", "4")]
    fake_runs.programs[two] = [told("SIGUSR2", "os.getppid()")] * 3
    assert run_main(sweep.main, [str(spec), "--jobs=2", *flags]) == 1
    said = capfd.readouterr().err
    assert said.count(f"{one}: was stopped, and goes on") == 2
    assert f"failed: {two}\n" in said
    assert fake_runs.started.count(one) == 3
    assert fake_runs.started.count(two) == 3, "it saves nothing"
    assert [row["id"] for row in rows(tmp_path / "runs/sweeps/preempted/results.csv")] == [one]


def test_a_run_whose_worker_is_killed_failed(fake_runs, flags, tmp_path, capfd):
    spec = write_spec(tmp_path / "killed.yaml", SMALL)
    one, _ = ids(spec)
    fake_runs.programs[one] = [told("SIGKILL", "os.getppid()")]
    if "--executor=slurm" in flags:
        done = "pathlib.Path(os.environ['FAKE_SLURM'], '1.state').write_text('NODE_FAIL')\nos.kill"
        fake_runs.programs[one] = [fake_runs.programs[one][0].replace("os.kill", done)]
    assert run_main(sweep.main, [str(spec), "--jobs=1", *flags]) == 0
    log = SweepDirectory.open(tmp_path / "runs/sweeps/killed").log(one)
    assert not is_locked(log)
    assert log.read_text().index("saved") < log.read_text().index("writes")
    assert "once more" in capfd.readouterr().err


@pytest.mark.parametrize("where", ["slurm-local", pytest.param("ray", marks=SLOW)])
def test_ctrl_c_in_a_terminal_has_runs_save(where, request, tmp_path, monkeypatch):
    """All processes of the terminal get it; Ray has a cluster of this machine alone."""
    if where == "ray":
        request.getfixturevalue("ray_token")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    spec = write_spec(tmp_path / "terminal.yaml", SMALL)
    one, _ = ids(spec)
    programs = json.dumps({one: [SAVES]})
    flags = [str(spec), f"--executor={where}", "--sweep-dir=here"]
    command = [sys.executable, "-c", SWEEPS, programs, *flags]
    sweeping = subprocess.Popen(command, cwd=tmp_path, start_new_session=True)
    log = tmp_path / f"here/logs/{one}.log"
    wait_until(lambda: log.exists() and "began" in log.read_text().splitlines(), 60)
    os.killpg(sweeping.pid, signal.SIGINT)
    assert sweeping.wait(timeout=30) == 128 + signal.SIGINT
    assert log.read_text().endswith("began\nsaved after SIGTERM\n")
    assert not SweepDirectory.open(tmp_path / "here").is_swept()


@pytest.fixture
def fake_jobs(tmp_path, monkeypatch):
    """Where a made-up SLURM keeps its jobs."""
    monkeypatch.setattr("sweeping.slurm_executor.POLL_S", 0.1)
    return fake_slurm.install(tmp_path / "slurm", monkeypatch)


def test_what_slurm_is_asked_for(fake_runs, fake_jobs, tmp_path):
    spec = write_spec(tmp_path / "asks.yaml", SMALL)
    flags = ["--slurm-partition=short", "--slurm-time=10", "--gpus-per-run=1", "--cpus-per-run=4"]
    assert run_main(sweep.main, [str(spec), "--executor=slurm", *flags]) == 0
    for name, number in zip(ids(spec), (1, 2), strict=True):
        asked = (fake_jobs / f"{number}.sh").read_text()
        for flag in ("partition=short", "time=10", "gpus-per-node=1", "cpus-per-task=4"):
            assert f"#SBATCH --{flag}\n" in asked
        assert f"--job-name={name}\n" in asked
        assert "--signal=USR2@150\n" in asked, "a quarter of its time"
        assert "--no-requeue\n" in asked, "another command goes on"


def test_a_job_that_slurm_does_not_take(fake_runs, fake_jobs, tmp_path, capfd):
    spec = write_spec(tmp_path / "full.yaml", SMALL)
    assert run_main(sweep.main, [str(spec), "--executor=slurm", "--slurm-partition=full"]) == 2
    *_, line = capfd.readouterr().err.splitlines()
    assert line == "error: executor: slurm: sbatch: error: invalid partition"


def test_a_preempted_job_that_could_not_save_goes_on(fake_runs, fake_jobs, tmp_path, capfd):
    """SLURM has killed it and says so: to submitit it would still wait."""
    spec = write_spec(tmp_path / "killed.yaml", SMALL)
    one, _ = ids(spec)
    said = f"pathlib.Path({str(fake_jobs)!r}, '1.state').write_text('PREEMPTED')"
    kills = f"import os, pathlib; {said}; os.kill(os.getppid(), 9)"
    fake_runs.programs[one] = [kills]
    assert run_main(sweep.main, [str(spec), "--executor=slurm", "--jobs=1"]) == 0
    assert "was stopped, and goes on" in capfd.readouterr().err
    assert fake_runs.started.count(one) == 2
