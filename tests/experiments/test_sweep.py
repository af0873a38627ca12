"""Sweeps whose runs are tiny programs."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sweep
import sweep_status
from child_runs import command_of
from cli import run_main
from commands import lock, start
from errors import UsageError
from fake_sweeps import FAILS, SPEC, STOPS_THE_SWEEP, FakeRuns, ids, report, rows, write_spec
from presets import PRESETS
from sweeping.directory import SweepDirectory
from sweeping.settings import first_runs
from sweeping.spec import read_spec

ROOT = Path(__file__).parents[2]


def check_picture(figure, table):
    """Every run above its values, the seeds of the best setting filled."""
    scores = np.array([float(row["return_5"]) for row in table]).reshape(3, 2, 2)
    for ax, name, axis in zip(figure.axes, SPEC["fields"], (0, 1), strict=True):
        assert (ax.get_xlabel(), ax.get_ylabel()) == (name, "return@5")
        ticks = [text.get_text() for text in ax.get_xticklabels()]
        assert ticks == [f"{value:g}" for value in SPEC["fields"][name]]
        mean, others, best = (line.get_xydata() for line in ax.get_lines())
        of_values = np.moveaxis(scores, axis, 0).reshape(len(ticks), -1)
        np.testing.assert_allclose(mean, list(enumerate(of_values.mean(axis=1))))
        all_runs = [(x, score) for x, row in enumerate(of_values) for score in row]
        np.testing.assert_allclose(sorted([*others.tolist(), *best.tolist()]), sorted(all_runs))
        place = (1, 0)[axis]
        assert sorted(best.tolist()) == [[place, -0.11], [place, -0.1]]


def test_a_grid_is_run_once_and_tabled(fake_runs, tmp_path, capsys, drawn):
    spec = write_spec(tmp_path / "grid.yaml", SPEC)
    assert run_main(sweep.main, [str(spec)]) == 0
    assert fake_runs.started == ids(spec)
    assert len(set(fake_runs.started)) == 3 * 2 * 2
    out = tmp_path / "runs/sweeps/grid"
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == fake_runs.started
    assert lines[1]["seeds"] == [1]
    assert lines[1]["fields"] == {"meta.inner_lr_mean": 1.0, "meta.kl_coef": 0.1}
    assert "--meta.kl-coef 0.1" in " ".join(lines[1]["flags"])
    table = rows(out / "results.csv")
    assert [row["id"] for row in table] == fake_runs.started
    best = max(table, key=lambda row: float(row["return_5"]))
    assert (best["meta.inner_lr_mean"], best["meta.kl_coef"], best["seed"]) == ("2.0", "0.1", "0")
    numbers = ("return_5", "success_5", "return_best", "success_best", "minutes")
    assert [float(best[name]) for name in numbers] == [-0.1, 0.5, -0.1, 0.5, 2.0]
    assert (out / "sweep.png").read_bytes().startswith(b"\x89PNG")
    check_picture(drawn[0], table)
    assert "writes" in (out / f"logs/{fake_runs.started[0]}.log").read_text()
    said = capsys.readouterr().out
    first = next(line for line in said.splitlines() if "2/2" in line)
    assert [cell.strip() for cell in first.split("│")][1:4] == ["2", "0.1", "2/2"]

    assert run_main(sweep.main, [str(spec)]) == 0
    assert len(fake_runs.started) == 12, "finished runs are left alone"
    assert rows(out / "results.csv") == table


def test_seeds_of_a_setting_in_one_program(fake_runs, tmp_path):
    spec = write_spec(tmp_path / "vmap.yaml", SPEC | {"vmap": ["seed"]})
    assert run_main(sweep.main, [str(spec)]) == 0
    assert len(fake_runs.started) == 6
    assert all(name.endswith("-seeds0to1") for name in fake_runs.started)
    table = rows(tmp_path / "runs/sweeps/vmap/results.csv")
    assert [row["seed"] for row in table] == ["0", "1"] * 6
    assert {row["minutes"] for row in table} == {"2.0"}


def test_settings_in_one_program(fake_runs, tmp_path):
    """The same table as without, and a program is what is tried again."""
    alone = write_spec(tmp_path / "alone.yaml", SPEC)
    assert run_main(sweep.main, [str(alone)]) == 0
    fake_runs.started.clear()
    spec = write_spec(tmp_path / "vmap.yaml", SPEC | {"vmap": ["seed", "meta.kl_coef"]})
    fake_runs.programs = {ids(spec)[1]: [FAILS]}
    assert run_main(sweep.main, [str(spec)]) == 0
    assert fake_runs.started == [ids(spec)[i] for i in (0, 1, 1, 2)]
    out = tmp_path / "runs/sweeps/vmap"
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [line["fields"]["meta.kl_coef"] for line in lines] == [0.1, 0.5] * 3
    told = [{k: v for k, v in row.items() if k != "id"} for row in rows(out / "results.csv")]
    before = rows(tmp_path / "runs/sweeps/alone/results.csv")
    assert told == [{k: v for k, v in row.items() if k != "id"} for row in before]
    assert run_main(sweep.main, [str(spec)]) == 0
    assert len(fake_runs.started) == 4, "finished programs are left alone"


def test_a_failed_run_is_tried_once_more(fake_runs, tmp_path, capsys):
    spec = write_spec(tmp_path / "fails.yaml", SPEC)
    once, twice = ids(spec)[:2]
    fake_runs.programs = {once: [FAILS], twice: [FAILS, FAILS]}
    assert run_main(sweep.main, [str(spec)]) == 1
    assert fake_runs.started.count(once) == fake_runs.started.count(twice) == 2
    said = capsys.readouterr().err
    assert "no more memory" in said
    assert f"failed: {twice}\n" in said
    out = tmp_path / "runs/sweeps/fails"
    assert {row["id"] for row in rows(out / "results.csv")} == set(ids(spec)) - {twice}
    assert SweepDirectory.open(out).states() == {twice: "failed"}
    assert run_main(sweep.main, [str(spec)]) == 0
    assert fake_runs.started.count(twice) == 3
    assert len(rows(out / "results.csv")) == 12


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_sweep_goes_on(fake_runs, tmp_path, capsys, number):
    spec = write_spec(tmp_path / "stops.yaml", SPEC)
    second = ids(spec)[1]
    fake_runs.programs = {second: [STOPS_THE_SWEEP.format(number=int(number))]}
    before = signal.getsignal(number)
    assert run_main(sweep.main, [str(spec)]) == 128 + number
    assert signal.getsignal(number) is before
    out = tmp_path / "runs/sweeps/stops"
    assert "saved" in (out / f"logs/{second}.log").read_text()
    said = capsys.readouterr().err
    assert number.name in said
    assert f"sweep.py {spec}" in said
    assert len(fake_runs.started) == 2
    assert SweepDirectory.open(out).states() == {second: "stopped"}
    assert run_main(sweep.main, [str(spec)]) == 0
    assert fake_runs.started == [*ids(spec)[:2], *ids(spec)[1:]]


def test_a_run_that_is_stopped_alone_goes_on(fake_runs, tmp_path, capsys):
    """Its exit code is 0 and it is not finished: it goes on as long as it gets further."""
    spec = write_spec(tmp_path / "stopped.yaml", SPEC)
    one, two = ids(spec)[:2]
    runs = tmp_path / "runs/sweeps/stopped/runs"
    saves = "import pathlib; pathlib.Path({!r}, 'checkpoints', '{}').mkdir(parents=True)"
    fake_runs.programs[one] = [saves.format(str(runs / one), step) for step in (2, 4)]
    fake_runs.programs[two] = ["print('stopped by SIGTERM')"] * 3
    assert run_main(sweep.main, [str(spec)]) == 1
    said = capsys.readouterr().err
    assert said.count(f"{one}: was stopped, and goes on") == 2
    assert f"failed: {two}\n" in said
    assert fake_runs.started.count(one) == fake_runs.started.count(two) == 3
    assert {row["id"] for row in rows(runs.parent / "results.csv")} == set(ids(spec)) - {two}


FINISHES = """
import os, pathlib, signal, time
pathlib.Path({file!r}).write_text({report!r})
os.kill(os.getppid(), signal.SIGTERM)
time.sleep(20)
"""


def test_a_run_that_is_told_to_stop_when_it_is_done_is_finished(fake_runs, tmp_path):
    spec = write_spec(tmp_path / "done.yaml", SPEC)
    first, out = first_runs(read_spec(spec))[0], tmp_path / "runs/sweeps/done"
    program = FINISHES.format(
        file=str(out / "runs" / first.id / "metatest.json"), report=json.dumps(report(first.config))
    )
    fake_runs.programs[first.id] = [program]
    assert run_main(sweep.main, [str(spec)]) == 128 + signal.SIGTERM
    assert SweepDirectory.open(out).states() == {}
    assert run_main(sweep.main, [str(spec)]) == 0
    assert fake_runs.started == ids(spec)


MEETS = """
import pathlib, sys, time
pathlib.Path({mine!r}).touch()
for _ in range(200):
    if pathlib.Path({other!r}).exists():
        break
    time.sleep(0.05)
else:
    sys.exit(1)
"""


def test_jobs_run_side_by_side(fake_runs, tmp_path):
    """Two runs that each wait for the other, and then are run again."""
    spec = write_spec(tmp_path / "jobs.yaml", SPEC)
    one, two = ids(spec)[:2]
    for mine, other in ((one, two), (two, one)):
        program = MEETS.format(mine=str(tmp_path / mine), other=str(tmp_path / other))
        fake_runs.programs[mine] = [program]
    assert run_main(sweep.main, [str(spec), "--jobs=2"]) == 0
    assert sorted(fake_runs.started[:2]) == sorted([one, two])
    assert len(rows(tmp_path / "runs/sweeps/jobs/results.csv")) == 12


def test_a_changed_spec_needs_another_name(fake_runs, tmp_path, refused):
    spec = write_spec(tmp_path / "same.yaml", SPEC)
    assert run_main(sweep.main, [str(spec)]) == 0
    changed = SPEC | {"fields": SPEC["fields"] | {"meta.kl_coef": [0.1]}}
    write_spec(spec, changed)
    refused(sweep.main, [spec], "fields.meta.kl_coef", "runs/sweeps/same", "[0.1, 0.5]")


def test_two_sweeps_do_not_share_a_directory(fake_runs, tmp_path, refused):
    spec = write_spec(tmp_path / "locked.yaml", SPEC)
    directory = SweepDirectory(tmp_path / "runs/sweeps/locked", read_spec(spec))
    with directory.begin():
        assert directory.is_swept()
        refused(sweep.main, [spec], "runs/sweeps/locked", "still going on")
    assert not directory.is_swept()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    refused(sweep.main, [spec, "--sweep-dir=full"], "full", "no sweep")


def test_a_directory_is_free_once_its_runs_have_ended(tmp_path):
    """A sweep that is killed leaves them going on."""
    spec = write_spec(tmp_path / "killed.yaml", SPEC)
    directory = SweepDirectory(tmp_path / "killed", read_spec(spec))
    with directory.begin(), directory.log("run").open("a") as log:
        assert lock(log)
        left = start(["sleep", "20"], log, {})
    assert directory.is_swept()
    with pytest.raises(UsageError, match="still going on"), directory.begin():
        pass
    left.kill()
    left.wait()
    assert not directory.is_swept()
    with directory.begin():
        pass


@pytest.mark.parametrize("name", ["..", ".", "../x", "", "/x", "a/b"])
def test_a_runs_id_stays_in_the_directory_of_runs(fake_runs, tmp_path, refused, name):
    """The manifest says where runs and their logs are."""
    file, manifest = Path("names.yaml"), Path("runs/sweeps/names/manifest.jsonl")
    spec = read_spec(write_spec(file, SPEC))
    directory = SweepDirectory(manifest.parent, spec)
    with directory.begin():
        directory.add(first_runs(spec))
    first, *others = manifest.read_text().splitlines()
    manifest.write_text("\n".join([json.dumps(json.loads(first) | {"id": name}), *others]))
    for main, flags in ((sweep.main, [file]), (sweep_status.main, [f"--spec={file}"])):
        refused(main, flags, manifest, "id: ", repr(name))


def test_a_changed_preset_needs_another_name(fake_runs, tmp_path, refused, monkeypatch):
    spec = write_spec(tmp_path / "same.yaml", SPEC)
    assert run_main(sweep.main, [str(spec)]) == 0
    preset = PRESETS["point-maesn"]
    changed = replace(preset, meta=replace(preset.meta, discount=0.5))
    monkeypatch.setitem(PRESETS, "point-maesn", changed)
    refused(sweep.main, [spec], "preset: point-maesn", "runs/sweeps/same")


def test_commands_continue_what_was_begun(tmp_path):
    """As the fake runs do not show: a run that is there, and not tested, is resumed."""
    spec = write_spec(tmp_path / "begun.yaml", SPEC)
    run = first_runs(read_spec(spec))[0]
    FakeRuns()(run.config, tmp_path / run.id)
    command = command_of(run.config, tmp_path / run.id)
    assert command is not None
    assert command[1:] == ["--resume", f"--run-dir={tmp_path / run.id}"]


def test_a_sweep_does_not_start_jax():
    """Its runs need the devices, and its flags should not wait."""
    code = (
        "import sys; sys.path.insert(0, 'experiments'); import sweep, sweep_status\n"
        "heavy = {'jax', 'orbax', 'wandb', 'mujoco', 'matplotlib', 'optuna', 'ray', 'submitit'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
