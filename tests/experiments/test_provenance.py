"""What is recorded of the packages and the machine that train a run."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

import provenance
from errors import UsageError
from presets import PRESETS
from run_directory import RunDirectory

DEVICES = [SimpleNamespace(device_kind="cpu"), SimpleNamespace(device_kind="cpu")]


@pytest.fixture
def run(tmp_path):
    """A run of 150 meta-iterations that is about to begin."""
    return RunDirectory.create(replace(PRESETS["point-maesn"], run_dir=tmp_path / "run"))


def starts(run) -> list[int]:
    return [entry["from_iteration"] for entry in provenance.recorded(run)]


def test_a_start_is_recorded(run):
    assert provenance.recorded(run) == [], "as of a run of earlier versions"
    provenance.record(run, 0, DEVICES)
    (entry,) = provenance.recorded(run)
    assert entry["devices"] == "2 × cpu"
    assert entry["from_iteration"] == 0
    assert {"jax", "brax", "mujoco", "explorax"} <= set(entry["versions"])
    assert len(entry["commit"]) in (0, 40, len("-dirty") + 40)


def test_what_trains_the_rest_of_a_run_is_recorded_if_it_differs(run, monkeypatch):
    provenance.record(run, 0, DEVICES)
    provenance.record(run, 50, DEVICES)
    assert starts(run) == [0], "nothing has changed"
    monkeypatch.setattr(provenance, "machine", lambda: {"python": "3.99", "versions": {}})
    provenance.record(run, 100, DEVICES)
    assert starts(run) == [0, 100]
    provenance.record(run, 50, DEVICES)
    assert starts(run) == [0, 50], "what follows is trained again"
    provenance.record(run, 150, DEVICES[:1])
    assert starts(run) == [0, 50], "nothing is left to train"


def test_a_run_that_trains_nothing_has_one_entry(tmp_path):
    run = RunDirectory.create(replace(PRESETS["point-rnd"], run_dir=tmp_path / "run"))
    provenance.record(run, 0, DEVICES)
    provenance.record(run, 0, DEVICES[:1])
    (entry,) = provenance.recorded(run)
    assert entry["devices"] == "1 × cpu"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        "[1]",
        "[{}]",
        '[{"from_iteration": 0, "versions": "1"}]',
        '[{"from_iteration": "x"}]',
    ],
)
def test_an_unreadable_file_is_named(run, text):
    run.versions.write_text(text)
    with pytest.raises(UsageError, match=r"versions\.json"):
        provenance.recorded(run)


def test_without_git_or_a_checkout_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() == ""
    monkeypatch.setattr(provenance, "SOURCES", tmp_path)
    assert provenance.commit() == ""
