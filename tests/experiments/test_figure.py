"""The comparison of runs, on reports written by hand."""

import csv
import json

import numpy as np
import pytest

import figure
from errors import UsageError
from intervals import interquartile_mean, interval


def report(seed: int, **changes) -> dict:
    column = {"mean": [-20.0, -10.0 - seed], "low": [-21.0, -12.0], "high": [-19.0, -9.0]}
    share = {"mean": [0.1, 0.5], "low": [0.0, 0.4], "high": [0.2, 0.6]}
    about = {
        "preset": "point-maesn",
        "seed": seed,
        "env": "point",
        "meta_iteration": 7,
        "settings_id": "a",
    }
    idle = {"return": -20.0, "success": 0.0}
    sizes = {"num_iterations": 1, "num_tasks": 3, "num_episodes": 4, "tasks": None}
    sizes["per_task"] = {
        "return": [[-20.0, -12.0 - seed], [-20.0, -10.0 - seed], [-20.0, -8.0 - seed]],
        "success": [[0.0, 0.2], [0.1, 0.5], [0.2, 0.8]],
    }
    return about | sizes | {"return": column, "success": share, "do_nothing": idle} | changes


def write(tmp_path, *reports) -> list[str]:
    paths = []
    for i, content in enumerate(reports):
        path = tmp_path / f"run{i}"
        path.mkdir()
        (path / "metatest.json").write_text(json.dumps(content), encoding="utf-8")
        paths.append(str(path))
    return paths


def test_figure_writes_a_picture_its_curves_and_every_run(tmp_path):
    paths = write(tmp_path, report(0), report(1), report(0, preset="point-rl2"))
    assert figure.main([*paths, "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((tmp_path / "out-runs.csv").open(encoding="utf-8")))
    assert [float(row["return_mean"]) for row in rows[:4]] == [-20.0, -10.0, -20.0, -11.0]
    assert [row["seed"] for row in rows] == ["0", "0", "1", "1", "0", "0"]
    assert (tmp_path / "out-training.csv").read_text().count("\n") == 1, "none has metrics"
    curves = list(csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8")))
    assert [(row["label"], row["seeds"]) for row in curves[1:3]] == [
        ("point-maesn", "2"),
        ("point-rl2", "1"),
    ]
    after = {name: float(value) for name, value in curves[1].items() if name != "label"}
    assert after["return"] == -10.5
    assert -13.0 < after["return_low"] < -10.5 < after["return_high"] < -8.0
    assert after["return_iqm"] == pytest.approx(-10.5)
    assert after["success"] == pytest.approx(0.5)


def test_the_papers_curves_are_marks_beside_ours(tmp_path, drawn):
    paths = write(tmp_path, report(0, env="push", preset="push-maesn"))
    assert figure.main([*paths, "--out", str(tmp_path / "out")]) == 0
    ours, theirs = "push-maesn (1 seed)", ["MAESN, paper", "MAESN, released policies"]
    returns, _, success = drawn[0].axes
    lines = {line.get_label(): line for line in returns.get_lines()}
    assert list(lines) == [ours, "doing nothing", *theirs], "of the others one point is as early"
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == list(lines)
    np.testing.assert_array_equal(lines["MAESN, paper"].get_xydata(), [[0, -397.0], [1, -323.5]])
    assert lines["MAESN, paper"].get_linestyle() == "None"
    assert lines["MAESN, paper"].get_marker() == "s"
    assert lines["MAESN, paper"].get_color() == lines[ours].get_color()
    assert [line.get_label() for line in success.get_lines()] == [ours, "doing nothing", theirs[1]]


def test_differences_are_to_the_named_curve_at_the_iterations_of_both(tmp_path, capsys):
    once = {"mean": [-14.0], "low": [-15.0], "high": [-13.0]}
    share = {"mean": [0.3], "low": [0.3], "high": [0.3]}
    better = report(0, preset="point-rl2", num_iterations=0) | {"return": once, "success": share}
    better["per_task"] = {
        "return": [[-15.0], [-14.0], [-13.0]],
        "success": [[0.3], [0.3], [0.3]],
    }
    paths = write(tmp_path, report(0), report(1), better)
    flags = ["--reference", "point-maesn", "--out", str(tmp_path / "out")]
    assert figure.main([*paths, *flags]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "out-differences.csv")
    (row,) = csv.DictReader((tmp_path / "out-differences.csv").open(encoding="utf-8"))
    assert (row["label"], row["reference"]) == ("point-rl2", "point-maesn")
    assert row["metatest_iteration"] == "0", "the other has one iteration more"
    assert float(row["return"]) == pytest.approx(-14.0 + 20.0)
    assert 5.0 <= float(row["return_low"]) < 6.0 < float(row["return_high"]) <= 7.0
    assert float(row["success"]) == pytest.approx(0.3 - 0.1)
    with pytest.raises(
        UsageError, match="reference: must be among point-maesn, point-rl2; got 'x'"
    ):
        figure.main([*paths, "--reference", "x"])


def test_a_reference_that_a_suite_lacks_is_refused_before_anything_is_trained(tmp_path):
    flags = ["--suite=wheeled", "--reference=maesn", f"--runs={tmp_path / 'runs'}"]
    with pytest.raises(UsageError, match="reference: must be among wheeled-maesn, "):
        figure.main(flags)
    assert not (tmp_path / "runs").exists()


def test_the_interquartile_mean_is_of_the_middle_half():
    scores = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1000.0]).reshape(2, 4, 1)
    assert interval(scores, interquartile_mean)["mean"] == [(2.0 + 3.0 + 4.0 + 5.0) / 4]


def test_training_is_in_a_table_of_its_own(finished, tmp_path):
    assert figure.main([str(finished), "--out", str(tmp_path / "out")]) == 0
    rows = list(csv.DictReader((tmp_path / "out-training.csv").open(encoding="utf-8")))
    assert [int(row["meta_iteration"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(float(row["return_post"]) < 0 for row in rows)


@pytest.mark.parametrize(
    ("second", "named"),
    [
        (report(0), "seed 0"),
        (report(1, meta_iteration=8), "meta_iteration"),
        (report(1, num_tasks=4), "num_tasks"),
        (report(1, settings_id="b"), "settings_id"),
        (report(1, env="push"), "env"),
        (report(1, preset="point-rl2", num_tasks=4), "num_tasks"),
        (report(1, preset="point-rl2", tasks="file.npz"), "tasks"),
        ({"preset": "point-maesn"}, "run1"),
    ],
)
def test_runs_that_cannot_be_averaged_are_refused(tmp_path, second, named):
    paths = write(tmp_path, report(0), second)
    with pytest.raises(UsageError, match=named):
        figure.main([*paths, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out.png").exists()


def test_a_seed_without_a_meta_test_is_named(finished, tmp_path):
    """A run of two seeds of which one was not tested is not drawn as one of one seed."""
    config = json.loads((finished / "config.json").read_text())
    config["config"]["num_seeds"] = 2
    run = tmp_path / "two"
    (run / "seed0").mkdir(parents=True)
    (run / "config.json").write_text(json.dumps(config))
    (run / "seed0" / "metatest.json").write_bytes((finished / "metatest.json").read_bytes())
    with pytest.raises(UsageError, match="seed1"):
        figure.main([str(run), "--out", str(tmp_path / "out")])


def test_a_torn_line_of_metrics_is_left_out(finished, tmp_path):
    with (finished / "metrics.jsonl").open("a") as file:
        file.write('{"meta_iter')
    assert figure.main([str(finished), "--out", str(tmp_path / "out")]) == 0


def test_named_runs_and_a_suite_do_not_go_together(finished):
    with pytest.raises(UsageError, match=r"run_dirs: .*--suite"):
        figure.main([str(finished), "--suite", "ant"])


@pytest.mark.parametrize("seeds", [0, -1, 1025])
def test_a_suite_has_seeds(refused, seeds):
    refused(figure.main, [f"--seeds={seeds}"], "seeds: must be in 1..1024")


def test_a_missing_run_is_named(tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        figure.main([str(tmp_path / "nowhere")])
