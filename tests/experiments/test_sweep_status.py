"""How the runs of a sweep stand, as a table."""

import json
import re

import pytest

import sweep_status
from cli import run_main
from fake_sweeps import SPEC, FakeRuns, report, write_metrics
from run_directory import RunDirectory
from sweeping.directory import SweepDirectory
from sweeping.settings import first_runs
from sweeping.spec import spec_from


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """Of four runs the first is finished, the second running, the third failed."""
    monkeypatch.chdir(tmp_path)
    spec = spec_from(SPEC | {"fields": {"meta.kl_coef": [0.1, 0.5]}})
    directory, runs = SweepDirectory(tmp_path / "runs/sweeps/some", spec), first_runs(spec)
    with directory.begin():
        directory.add(runs)
        for run in runs[:3]:
            FakeRuns()(run.config, directory.run_dir(run.id))
        finished = directory.run_dir(runs[0].id)
        (finished / "metatest.json").write_text(json.dumps(report(runs[0].config)))
        (directory.run_dir(runs[1].id) / "metrics.jsonl").write_text(
            '{"meta_iteration": 1, "return_post": -7.25}\n{"meta_iteration": 2, "retu'
        )
        directory.set_state(runs[1].id, "running")
        directory.set_state(runs[2].id, "failed")
        yield directory


def cells(text):
    """Without the ids."""
    lines = [line.split("│")[1:-1] for line in text.splitlines() if line.startswith("│")]
    return [[line[0].strip(), *(cell.strip() for cell in line[2:])] for line in lines]


def test_every_run_has_a_line(begun, capsys):
    assert run_main(sweep_status.main, ["--spec=elsewhere/some.yaml"]) == 0
    said = capsys.readouterr().out
    assert cells(said) == [
        ["finished", "0", "0.1", "4/4", "-3.0", "-1.1"],
        ["running", "1", "0.1", "1/4", "-7.2", ""],
        ["failed", "0", "0.5", "4/4", "-3.0", ""],
        ["waiting", "1", "0.5", "", "", ""],
    ]
    assert "going on: 1 finished, 1 running, 1 waiting, 1 failed" in " ".join(said.split())


def on_a_terminal(monkeypatch, sleep):
    """Where it is shown anew after each sleep."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("time.sleep", sleep)


def test_on_a_terminal_it_is_shown_until_the_sweep_ends(begun, monkeypatch, capsys):
    def sleep(_):
        begun.set_state(begun.entries()[1].id, "failed")
        monkeypatch.setattr(SweepDirectory, "is_swept", lambda _: False)

    on_a_terminal(monkeypatch, sleep)
    assert run_main(sweep_status.main, ["--spec=elsewhere/some.yaml"]) == 0
    titles = re.findall(r"some, (.*failed)", capsys.readouterr().out)
    assert list(dict.fromkeys(titles)) == [
        "going on: 1 finished, 1 running, 1 waiting, 1 failed",
        "not going on: 1 finished, 1 waiting, 2 failed",
    ]


def test_a_terminal_is_left_by_an_interrupt(begun, monkeypatch):
    def sleep(_):
        raise KeyboardInterrupt

    on_a_terminal(monkeypatch, sleep)
    assert run_main(sweep_status.main, [f"--sweep-dir={begun.path}"]) == 130


def test_a_run_whose_sweep_was_killed_is_stopped(begun, monkeypatch, capsys):
    monkeypatch.setattr(SweepDirectory, "is_swept", lambda _: False)
    assert run_main(sweep_status.main, [f"--sweep-dir={begun.path}"]) == 0
    said = capsys.readouterr().out
    assert cells(said)[1][0] == "stopped"
    assert "not going on" in said


def test_metrics_longer_than_what_is_read_at_once(begun):
    run = RunDirectory.open(begun.run_dir(begun.entries()[0].id))
    write_metrics(run, 500)
    assert sweep_status.last_metrics(run.metrics)["meta_iteration"] == 500


def test_what_has_no_sweep_is_refused(refused):
    refused(sweep_status.main, [], "spec: ")
    refused(sweep_status.main, ["--spec=none.yaml"], "runs/sweeps/none")
    refused(sweep_status.main, ["--spec=...yaml"], "spec: ", "'..'")
    refused(sweep_status.main, ["--sweep-dir=nowhere"], "nowhere")


@pytest.mark.parametrize("content", ["", "[]", '{"some": "gone"}', '{"some": []}'])
def test_states_that_cannot_be_read_are_named(refused, begun, content):
    (begun.path / "states.json").write_text(content)
    refused(sweep_status.main, [f"--sweep-dir={begun.path}"], begun.path / "states.json")
