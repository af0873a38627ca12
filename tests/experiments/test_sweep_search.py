"""Sweeps whose settings are drawn at random or asked of tpe; their runs are tiny programs."""

import json
import signal

import optuna
import pytest

import sweep
from cli import run_main
from errors import UsageError
from fake_sweeps import FAILS, SPEC, STOPS_THE_SWEEP, ids, rows, write_spec
from sweeping.directory import SweepDirectory
from sweeping.search import TpeSearch
from sweeping.spec import spec_from


def test_random_settings_are_those_of_the_spec(fake_runs, tmp_path):
    fields = {
        "meta.inner_lr_mean": {"low": 0.5, "high": 5, "log": True},
        "meta.num_episodes": {"low": 4, "high": 8, "int": True},
    }
    content = SPEC | {"method": "random", "num_runs": 5, "fields": fields, "seeds": 1}
    spec = write_spec(tmp_path / "random.yaml", content)
    assert run_main(sweep.main, [str(spec)]) == 0
    assert fake_runs.started == ids(spec)
    assert len(set(fake_runs.started)) == 5
    more = write_spec(tmp_path / "more.yaml", content | {"num_runs": 7})
    assert ids(more)[:5] == ids(spec)
    other = write_spec(tmp_path / "other.yaml", content | {"search_seed": 1})
    assert not set(ids(other)) & set(ids(spec))


TPE = SPEC | {
    "method": "tpe",
    "num_runs": 6,
    "fields": {
        "meta.inner_lr_mean": {"low": 0.5, "high": 5},
        "meta.kl_coef": [0.1, 0.5],
        "meta.hidden_sizes": [[8], [8, 8]],
    },
}


def trials(path):
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(path / "journal.log"))
    )
    return optuna.load_study(study_name="sweep", storage=storage).get_trials()


def test_a_finished_trial_of_other_settings_is_refused(fake_runs, tmp_path, capsys):
    spec = write_spec(tmp_path / "tpe.yaml", TPE | {"num_runs": 2})
    assert run_main(sweep.main, [str(spec)]) == 0
    edited = sorted((tmp_path / "runs/sweeps/tpe/runs").glob("*/config.json"))[0]
    config = json.loads(edited.read_text())
    config["config"]["meta"]["kl_coef"] += 0.1
    edited.write_text(json.dumps(config))
    capsys.readouterr()
    assert run_main(sweep.main, [str(spec)]) == 2
    said = capsys.readouterr().err
    assert edited.parent.name in said and "is no run of" in said


def test_tpe_is_told_the_mean_over_seeds_and_goes_on(fake_runs, tmp_path):
    """Stopped in its second trial: the same setting is finished, then others are asked for."""
    spec = write_spec(tmp_path / "tpe.yaml", TPE)
    out = tmp_path / "runs/sweeps/tpe"
    add, added = SweepDirectory.add, []

    def add_and_stop(self, runs):
        add(self, runs)
        added.extend(run.id for run in runs)
        if len(added) == 4:
            program = STOPS_THE_SWEEP.format(number=int(signal.SIGTERM))
            fake_runs.programs = {added[3]: [program]}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SweepDirectory, "add", add_and_stop)
        assert run_main(sweep.main, [str(spec)]) == 128 + signal.SIGTERM
    assert [trial.state.name for trial in trials(out)] == ["COMPLETE", "RUNNING"]
    assert run_main(sweep.main, [str(spec)]) == 0
    entries = SweepDirectory.open(out).entries()
    assert [entry.id for entry in entries][:4] == added
    found = trials(out)
    assert [trial.state.name for trial in found] == ["COMPLETE"] * 6
    assert len({trial.params["meta.inner_lr_mean"] for trial in found}) == 6
    table = rows(out / "results.csv")
    scores = [float(row["return_5"]) for row in table[:2]]
    assert found[0].value == pytest.approx(sum(scores) / 2, abs=1e-4)
    assert len(table) == 12


def test_tpe_hears_of_failures_and_repeats_no_run(fake_runs, tmp_path, capsys):
    fields = {"meta.kl_coef": [0.1, 0.5]}
    spec = write_spec(tmp_path / "few.yaml", TPE | {"fields": fields, "seeds": [3]})
    bad = ids(spec)[0]  # of the corners, which here are all
    fake_runs.programs = {bad: [FAILS, FAILS]}
    assert run_main(sweep.main, [str(spec)]) == 1
    assert sorted(fake_runs.started) == sorted([bad, *ids(spec)])
    found = trials(tmp_path / "runs/sweeps/few")
    assert len(found) == 6
    assert {trial.state.name for trial in found} == {"COMPLETE", "FAIL"}
    capsys.readouterr()
    assert run_main(sweep.main, [str(spec)]) == 1, "what failed is still missing"
    assert f"failed: {bad}\n" in capsys.readouterr().err
    assert len(fake_runs.started) == 3


def test_a_journal_whose_last_line_was_cut_short_goes_on(tmp_path):
    """As where tpe was killed while it wrote."""
    spec, journal = spec_from(TPE), tmp_path / "journal.log"
    asked = TpeSearch(spec, journal).ask()
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    again = TpeSearch(spec, journal)
    assert again.known() == (asked,)
    again.tell(asked.number, 1.0)
    assert TpeSearch(spec, journal).known() == ()


@pytest.mark.parametrize("line", ["{", "[]", '{"op_code": 4}'])
def test_a_journal_that_cannot_be_read_is_named(tmp_path, line):
    spec, journal = spec_from(TPE), tmp_path / "journal.log"
    TpeSearch(spec, journal).ask()
    whole = journal.read_text()
    journal.write_text(f"{line}\n{whole}")
    with pytest.raises(UsageError, match=r"journal\.log: "):
        TpeSearch(spec, journal)


def test_a_trial_that_a_config_refuses_is_not_known_as_a_run(fake_runs, tmp_path):
    """A sweep that was killed before it told tpe of the refusal goes on."""
    fields = {"meta.num_episodes": {"low": 4, "high": 8, "int": True}}
    content = TPE | {"fields": fields, "num_runs": 1}
    spec = write_spec(tmp_path / "tpe.yaml", content)
    directory = SweepDirectory(tmp_path / "swept", spec_from(content))
    with directory.begin():
        TpeSearch(directory.spec, directory.journal).ask()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sweeping.queue.runs_of", refuse)
        assert run_main(sweep.main, [str(spec), f"--sweep-dir={directory.path}"]) == 0
    assert fake_runs.started == []


def refuse(*_):
    raise ValueError("meta.num_episodes: is odd")
