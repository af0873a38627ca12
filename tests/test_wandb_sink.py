"""W&B runs by the genuine client: offline files that are read back, and a server on loopback."""

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from explorax.sinks import BestEffort, Results, WandbSink
from explorax.sinks import wandb_sink as module
from lines import metrics
from wandb_files import history, offline_runs
from wandb_server import serving

KEY = "0123456789abcdef" * 5
pytestmark = pytest.mark.usefixtures("no_wandb_account")


@pytest.fixture
def server(monkeypatch):
    """A server whose key is in the environment."""
    with serving(KEY) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield server


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    return path


def sink(directory: Path, mode="offline", num_iterations=2, **kwargs) -> WandbSink:
    config = {"meta.kl_coef": 0.5, "seed": 3, "train.num_iterations": num_iterations}
    return WandbSink(mode, directory, "project", "name", "abc123", config, **kwargs)


def write(sink: WandbSink, *iterations: int) -> None:
    for i in iterations:
        sink.write(metrics(i))
    sink.close(0)


@pytest.fixture
def results(directory):
    """A curve, a picture, an animation and a checkpoint."""
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    frames[0].save(directory / "still.png")
    frames[0].save(directory / "moving.gif", save_all=True, append_images=frames[1:])
    (directory / "checkpoints" / "3" / "arrays").mkdir(parents=True)
    (directory / "checkpoints" / "3" / "arrays" / "0").write_text("parameters")
    return Results(
        counters={"meta_iteration": 3, "env_steps": 300},
        scores={"metatest/return": -5.0, "metatest/success": None},
        tables={"metatest/curve": [{"iteration": 0, "low": None}, {"iteration": 1, "low": -5.0}]},
        pictures={
            "pictures/still": directory / "still.png",
            "animations/moving": directory / "moving.gif",
        },
        checkpoint=directory / "checkpoints" / "3",
    )


def iterations(rows: list[dict]) -> list[float]:
    return [row["meta_iteration"] for row in rows]


def test_an_offline_run_holds_what_was_written(directory, capfd):
    """Asked to be online; without a key it says that it is not."""
    run = sink(directory, "online")
    assert run.mode == "offline"
    for i in (1, 2, 3):
        run.write(metrics(i, bad=float("nan"), none=None))
    run.close(0)

    said = capfd.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert "wandb.mode: no API key is set" in line

    (records,) = offline_runs(directory)
    (run,) = (r["run"] for r in records if r["type"] == "run")
    assert (run["project"], run["display_name"], run["run_id"]) == ("project", "name", "abc123")
    assert {"meta.kl_coef": 0.5, "seed": 3}.items() <= run["config"]["update"].items()
    (glob,) = (r["metric"] for r in records if r["type"] == "metric" and "glob_name" in r["metric"])
    assert (glob["glob_name"], glob["step_metric"]) == ("*", "meta_iteration")
    assert len(history(records)) == 3
    for i, item in enumerate(history(records), start=1):
        assert metrics(i).items() <= item.items()
        assert not {"bad", "none"} & set(item)


def test_offline_results_are_files_of_the_run(directory, results):
    run = sink(directory)
    run.write_results(results)
    run.close(0)
    (item,) = history(offline_runs(directory)[0])

    assert item["meta_iteration"] == 3
    assert item["metatest/return"] == -5.0
    assert "metatest/success" not in item
    (files,) = directory.glob("wandb/offline-run-*/files")
    table = json.loads((files / item["metatest/curve.path"]).read_text())
    assert table == {"columns": ["iteration", "low"], "data": [[0, None], [1, -5.0]]}
    for name, original in results.pictures.items():
        assert (files / item[f"{name}.path"]).read_bytes() == original.read_bytes()


def test_offline_parts_of_a_run_have_every_iteration_once(directory):
    """Whatever is written again; syncing them one after the other gives the whole run."""
    write(sink(directory), 1, 2, 3)
    time.sleep(1.0)  # W&B names its folders by the second
    write(sink(directory), 1, 2, 3, 4)
    assert [iterations(history(part)) for part in offline_runs(directory)] == [[1, 2, 3], [4]]


def test_an_online_run_is_resumed_where_the_server_has_it(directory, server, results):
    run = sink(directory, "online", group="several")
    assert run.mode == "online"
    assert run.url.startswith(server.url)
    write(run, 1, 2)
    served = server.runs["abc123"]
    assert (served.project, served.name, served.group) == ("project", "name", "several")
    assert served.config["meta.kl_coef"] == {"value": 0.5}
    assert served.exit_code == 0

    run = sink(directory, "online", num_iterations=3, group="several")
    for i in (1, 2, 3):
        run.write(metrics(i))
    run.write_results(results)
    run.close(143)
    assert list(server.runs) == ["abc123"]
    assert iterations(served.history) == [1, 2, 3, 3]
    assert [row["_step"] for row in served.history] == [0, 1, 2, 3]
    assert served.config["train.num_iterations"] == {"value": 3}
    assert served.exit_code == 143
    assert served.summary["metatest/return"] == -5.0
    for name, original in results.pictures.items():
        assert served.files[served.summary[name]["path"]] == original.read_bytes()
    table = json.loads(served.files[served.summary["metatest/curve"]["path"]])
    assert table["data"] == [[0, None], [1, -5.0]]
    assert served.artifacts["checkpoint-abc123"]["arrays/0"] == b"parameters"


def test_an_agents_environment_does_not_rename_a_run(directory, server, monkeypatch):
    """W&B would take it for the run that the agent asked for."""
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep0")
    monkeypatch.setenv("WANDB_RUN_ID", "other")
    write(sink(directory, "online"), 1)
    assert {run_id: run.sweep for run_id, run in server.runs.items()} == {"abc123": None}


def test_seeds_side_by_side_are_runs_of_a_group(tmp_path, server):
    runs = []
    for seed in (0, 1):
        (tmp_path / f"seed{seed}").mkdir()
        arguments = ("online", tmp_path / f"seed{seed}", "project", f"name-seed{seed}")
        runs.append(WandbSink(*arguments, f"abc-{seed}", {"seed": seed}, group="name"))
    for i in (1, 2):
        for run in runs:
            run.write(metrics(i))
    for run in runs:
        run.close(0)
    assert {run.group for run in server.runs.values()} == {"name"}
    for seed in (0, 1):
        served = server.runs[f"abc-{seed}"]
        assert served.config["seed"] == {"value": seed}
        assert iterations(served.history) == [1, 2]


def test_what_was_kept_offline_is_synced_to_the_same_run(directory, server):
    write(sink(directory), 1, 2, 3)
    command = [Path(sys.executable).parent / "wandb", "sync", "--yes", str(directory / "wandb")]
    subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert iterations(server.runs["abc123"].history) == [1, 2, 3]


@pytest.mark.parametrize("kind", ["refuses", pytest.param("is silent", marks=pytest.mark.slow)])
def test_without_a_server_a_run_is_offline_within_seconds(directory, monkeypatch, capfd, kind):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    with socket.socket() as endpoint:
        endpoint.bind(("127.0.0.1", 0))
        if kind == "is silent":
            endpoint.listen()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{endpoint.getsockname()[1]}")
        begin = time.monotonic()
        run = sink(directory, "online")
        assert time.monotonic() - begin < 8
        assert run.mode == "offline"
        write(run, 1)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("wandb.mode: ")
    assert f"offline in {directory / 'wandb'}" in line
    (records,) = offline_runs(directory)
    assert iterations(history(records)) == [1]


def test_a_wrong_key_keeps_a_run_offline(directory, server, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_API_KEY", "f" * 40)
    run = sink(directory, "online")
    assert run.mode == "offline"
    write(run, 1)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("wandb.mode: ")
    assert server.runs == {}


def test_an_environment_that_is_offline_is_named(directory, server, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = sink(directory, "online")
    assert run.mode == "offline"
    write(run, 1)
    assert "wandb.mode: $WANDB_MODE is offline; " in capfd.readouterr().err


def test_a_server_that_is_lost_is_not_waited_for(directory, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "1")
    said = []
    with serving(KEY) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        logs = BestEffort("wandb", [sink(directory, "online")], said.append)
        logs.write([metrics(1)])
    logs.write([metrics(2)])
    begin = time.monotonic()
    logs.close(0)
    assert time.monotonic() - begin < 10
    (line,) = said
    assert "wandb sync" in line
    assert str(directory) in line


def test_a_disk_that_is_full_is_noticed(directory, monkeypatch):
    usage = shutil.disk_usage(directory)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    said = []
    logs = BestEffort("wandb", [sink(directory)], said.append)
    for i in (1, 2):
        logs.write([metrics(i)])
    logs.close(0)
    (line,) = said
    assert line.startswith("wandb: ")
    assert "No space left on device" in line


def test_a_process_that_dies_ends_a_run_and_nothing_else(directory):
    """In a process of its own: what is printed when it ends is counted, too."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "import os, pathlib, signal\n"
        "from explorax.sinks import BestEffort\n"
        "from lines import metrics\n"
        "from test_wandb_sink import sink\n"
        "logs = BestEffort('wandb', [sink(pathlib.Path(sys.argv[1]))], print)\n"
        "logs.write([metrics(1)])\n"
        "from wandb.sdk import wandb_setup\n"
        "service = wandb_setup.singleton().assert_service()._proc._process\n"
        "os.kill(service.pid, signal.SIGKILL)\n"
        "service.wait()\n"
        "for i in range(2, 50): logs.write([metrics(i)])\n"
        "logs.close(0)\n"
        "print('went on')\n"
    )
    command = [sys.executable, "-c", code, str(directory), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    line, end = done.stdout.splitlines()
    assert line.startswith("wandb: the process that uploads has died; ")
    assert end == "went on"
