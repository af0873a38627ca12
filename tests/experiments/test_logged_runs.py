"""Whole runs in W&B and TensorBoard, beside what their directories hold."""

import json
import os
import re
import shutil
import signal
import socket
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

import disks
import train
from cli import run_main
from config import Config
from config_json import from_json, to_json
from explorax.sinks import JsonlSink, read_jsonl
from presets import PRESETS
from run_directory import RunDirectory, write_json
from run_logs import RunLogs
from run_results import results_of
from skill_presets import SKILL_PRESETS
from test_tensorboard_sink import events, scalars
from wandb_files import files_with, history, offline_runs
from wandb_server import KEY, serving

RESULTS = Path(__file__).parents[2] / "experiments" / "results"
pytestmark = pytest.mark.usefixtures("no_wandb_account")


def contents(directory: Path) -> list[bytes]:
    """Of all files below."""
    return [p.read_bytes() for p in directory.rglob("*") if p.is_file()]


def test_a_run_is_in_wandb_and_tensorboard_and_its_key_nowhere(
    finished, tmp_path, monkeypatch, capfd
):
    """Switched on when training is over: all metrics follow, then what the run ends with."""
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    flags = ["--resume", f"--run-dir={finished}", "--tensorboard"]
    flags += ["--wandb.mode=online", "--wandb.checkpoint", "--wandb.project=some"]
    with serving(KEY) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        assert run_main(train.main, flags) == 0
    said = capfd.readouterr()
    assert f"wandb: {server.url}/" in said.err

    run, records = RunDirectory.open(finished), read_jsonl(finished / "metrics.jsonl")
    assert list(server.runs) == [run.run_id]
    served = server.runs[run.run_id]
    assert (served.project, served.name, served.exit_code) == ("some", "finished", 0)
    assert served.config["meta.num_episodes"] == {"value": 4}
    rows = [row for row in served.history if "return_post" in row]
    assert [row["meta_iteration"] for row in rows] == [1, 2, 3, 4, 5, 6]
    for record, row in zip(records, rows, strict=True):
        assert {k: v for k, v in record.items() if v is not None}.items() <= row.items()
    names = ("pictures/training", "pictures/metatest", "pictures/exploration")
    for name in (*names, "pictures/episode", "animations/episode"):
        assert served.files[served.summary[name]["path"]] in contents(finished)
    report = json.loads((finished / "metatest.json").read_text())
    table = json.loads(served.files[served.summary["metatest/curve"]["path"]])
    curve = dict(zip(table["columns"], zip(*table["data"], strict=True), strict=True))
    assert curve["iteration"] == (0, 1, 2)
    for name in ("return", "success"):
        for part in ("mean", "low", "high"):
            assert curve[f"{name}_{part}"] == tuple(report[name][part])
        assert served.summary[f"metatest/{name}"] == report[name]["mean"][-1]
    uploaded = served.artifacts[f"checkpoint-{run.run_id}"]
    for file in (finished / "checkpoints" / "6").rglob("*"):
        if file.is_file():
            name = str(file.relative_to(finished / "checkpoints" / "6"))
            assert uploaded[name] == file.read_bytes()

    found = events(finished / "tensorboard")
    expected = [(r["env_steps"], pytest.approx(r["return_post"])) for r in records]
    assert scalars(found, "return_post") == expected

    assert not files_with(KEY, tmp_path)
    assert KEY not in said.out + said.err


def test_a_run_of_an_agent_is_resumed_without_it(tiny, tmp_path, monkeypatch):
    """The agent names the run, once."""
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    flags = [*tiny, f"--run-dir={tmp_path / 'run'}", "--wandb.mode=online"]
    with serving(KEY) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_INIT_TIMEOUT", "60")
        with monkeypatch.context() as patch:
            patch.setenv("WANDB_SWEEP_ID", "sweep-3")
            patch.setenv("WANDB_RUN_ID", "agent-7")
            assert run_main(train.main, [*flags, "--train.num-iterations=2"]) == 0
        assert run_main(train.main, [*flags, "--resume", "--train.num-iterations=4"]) == 0
    assert RunDirectory.open(tmp_path / "run").run_id == "agent-7"
    assert list(server.runs) == ["agent-7"]
    rows = [row for row in server.runs["agent-7"].history if "return_post" in row]
    assert [row["meta_iteration"] for row in rows] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "flags", [[], *(["--wandb.mode=offline", f"--num-seeds={number}"] for number in (1, 2))]
)
def test_other_runs_have_an_id_of_their_own(tmp_path, monkeypatch, flags):
    """W&B is off, or the agent knows of one run where there are two, or there is no agent."""
    monkeypatch.setenv("WANDB_RUN_ID", "agent-7")
    if "--num-seeds=1" not in flags:
        monkeypatch.setenv("WANDB_SWEEP_ID", "sweep-3")
    flags = ["--preset=point-maesn", f"--run-dir={tmp_path / 'run'}", *flags]
    run = RunDirectory.create(train.parse_train(flags))
    assert re.fullmatch("[0-9a-f]{8}", run.run_id)


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "a b", "a\nb", "x" * 65, "é"])
def test_an_id_that_is_no_name_is_refused(refused, monkeypatch, name):
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep-3")
    monkeypatch.setenv("WANDB_RUN_ID", name)
    monkeypatch.setattr("learners.set_up", lambda _: None)  # it takes seconds
    flags = ["--preset=point-maesn", "--run-dir=run", "--wandb.mode=offline"]
    refused(train.main, flags, "WANDB_RUN_ID: ", repr(name))


@contextmanager
def no_key(patch):
    yield "--wandb.mode=online", "wandb.mode: no API key is set; the run is kept offline"


@contextmanager
def wrong_key(patch):
    patch.setenv("WANDB_API_KEY", KEY)
    with serving("another") as server:
        patch.setenv("WANDB_BASE_URL", server.url)
        yield "--wandb.mode=online", "wandb.mode: "
        assert not server.runs


@contextmanager
def no_server(patch):
    patch.setenv("WANDB_API_KEY", KEY)
    patch.setenv("WANDB_INIT_TIMEOUT", "1")
    with socket.socket() as endpoint:  # nobody listens
        endpoint.bind(("127.0.0.1", 0))
        patch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{endpoint.getsockname()[1]}")
        yield "--wandb.mode=online", "wandb.mode: "


@contextmanager
def full_disk(patch):
    disks.fill(patch, "wandb")
    yield "--wandb.mode=offline", "wandb: [Errno 28] No space left on device: "


@pytest.mark.parametrize("trouble", [no_key, wrong_key, no_server, full_disk])
def test_a_run_that_wandb_cannot_have_is_whole(tiny, tmp_path, monkeypatch, capfd, trouble):
    """It says so once, and keeps the key to itself."""
    monkeypatch.chdir(tmp_path)  # whose name is nothing that is said
    with trouble(monkeypatch) as (mode, begins):
        flags = [*tiny, "--run-dir=run", "--train.num-iterations=4", mode]
        assert run_main(train.main, flags) == 0
    said = capfd.readouterr()
    (line,) = (line for line in said.err.splitlines() if re.search("wandb|w&b", line, re.I))
    assert line.startswith(begins)
    records = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert [record["meta_iteration"] for record in records] == [1, 2, 3, 4]
    assert json.loads((tmp_path / "run" / "metatest.json").read_text())["meta_iteration"] == 4
    assert not files_with(KEY, tmp_path)
    assert KEY not in said.out + said.err


def test_without_a_key_several_seeds_say_so_once(tmp_path, capfd):
    flags = ["--preset=point-maesn", "--num-seeds=2", "--wandb.mode=online"]
    run = RunDirectory.create(train.parse_train([*flags, f"--run-dir={tmp_path / 'run'}"]))
    with RunLogs(run, Console(stderr=True)) as logs:
        logs.open()
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("wandb.mode: no API key is set; ")
    for member in run.members():
        assert len(offline_runs(member.path)) == 1


@pytest.mark.slow
def test_a_run_outlives_wandb(finished, capfd, monkeypatch):
    """W&B's process is killed in mid-run; when the run is resumed, W&B gets what it lacks."""
    line = JsonlSink.write

    def write(sink, metrics):
        line(sink, metrics)
        if metrics["meta_iteration"] == 8:
            from wandb.sdk import wandb_setup

            service = wandb_setup.singleton().assert_service()._proc._process
            os.kill(service.pid, signal.SIGKILL)
            service.wait()

    flags = ["--resume", f"--run-dir={finished}", "--wandb.mode=offline"]
    with monkeypatch.context() as patch:
        patch.setattr(JsonlSink, "write", write)
        assert run_main(train.main, [*flags, "--train.num-iterations=10"]) == 0
    said = capfd.readouterr().err
    assert (
        said.count("wandb: ") == said.count("; the run goes on without, metrics.jsonl has it") == 1
    )
    assert [r["meta_iteration"] for r in read_jsonl(finished / "metrics.jsonl")] == [*range(1, 11)]
    assert json.loads((finished / "metatest.json").read_text())["meta_iteration"] == 10

    shutil.rmtree(finished / "wandb")
    assert run_main(train.main, flags) == 0
    (records,) = offline_runs(finished)
    assert [row["meta_iteration"] for row in history(records)] == [*range(1, 11), 10]


def test_the_results_of_skills(tmp_path):
    run_dir = Path(shutil.copytree(RESULTS / "push-diayn", tmp_path / "run"))
    run = RunDirectory(run_dir, SKILL_PRESETS["push-diayn"], "id")
    # Those that are kept are of a version that did not measure it.
    report = {"information_last": 1.5} | json.loads((run_dir / "skills.json").read_text())
    write_json(run_dir / "skills.json", report)
    results = results_of(run, run)
    assert results.scores["skills/information_last"] == report["information_last"]
    assert results.scores["skills/distinct_skills"] == report["distinct_skills"]
    best = report["zero_shot"]["best_on_average"]
    assert results.scores["skills/best_on_average/return"] == best["return"]["mean"]
    assert [row["skill"] for row in results.tables["skills/table"]] == [*range(50)]
    names = {"pictures/skills", "pictures/training", "animations/skills"}
    assert set(results.pictures) == names
    assert results.checkpoint is None


def test_older_runs_need_not_know_of_newer_logs():
    """They change nothing in a run."""
    values = json.loads(json.dumps(to_json(PRESETS["point-maesn"])))
    del values["tensorboard"], values["wandb"]["checkpoint"]
    config = from_json(values)
    assert config == PRESETS["point-maesn"]
    assert isinstance(config, Config)
    assert not config.wandb.checkpoint
