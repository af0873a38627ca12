"""Benchmarks beside earlier ones."""

import json

import pytest

import bench_compare
from benchmarks.history import append


def benchmark(processor="a", **seconds):
    """A document whose programs took so long: least, median and most."""
    rows = {
        name: {
            "steps_per_s": 1000 / median,
            "seconds_min": least,
            "seconds_max": most,
            "num_calls": 3,
            "cold_compile_s": 10.0,
        }
        for name, (least, median, most) in seconds.items()
    }
    return {
        "format": 1,
        "time": "2030-01-01 00:00:00",
        "machine": {"processor": processor, "cores": 2, "commit": "0123456789-dirty"},
        "devices": {"platform": "cpu", "kind": "cpu", "count": 2},
        "rows": rows | {"broken": {"error": "out of memory"}},
    }


BEFORE = {"update": (1.0, 1.1, 1.2), "rollout": (0.5, 0.5, 0.5), "gone": (1, 1, 1)}
NOW = {"update": (1.1, 1.15, 1.2), "rollout": (1.0, 1.0, 1.0), "new": (1, 1, 1)}


@pytest.fixture
def history(tmp_path):
    """Three benchmarks, of which the second is of another machine."""
    path = tmp_path / "history.jsonl"
    for document in (benchmark(**BEFORE), benchmark("b", **NOW), benchmark(**NOW)):
        append(path, document)
    return path


def test_the_last_one_is_compared_with_the_one_before_of_the_same_machine(history, capsys):
    assert bench_compare.main([f"--history={history}"]) == 0
    said = capsys.readouterr().out
    rows = {line.split()[0]: line for line in said.splitlines() if len(line.split()) > 4}
    assert "0.96" in rows["update"] and "within the spread" in rows["update"]
    assert "0.50" in rows["rollout"] and "slower" in rows["rollout"]
    assert "gone" not in said and "new" not in rows and "broken" not in said
    assert "0123456-dirty" in said


def test_what_is_slower_beyond_the_spread_can_fail(history):
    assert bench_compare.main([f"--history={history}", "--fail-below=0.9"]) == 1
    assert bench_compare.main([f"--history={history}", "--fail-below=0.4"]) == 0


def test_one_call_has_no_spread():
    before, now = benchmark(**BEFORE), benchmark(**NOW)
    before["rows"]["rollout"]["num_calls"] = 1
    by_name = {change.name: change for change in bench_compare.changes(before, now)}
    assert by_name["rollout"].beyond_spread is None
    assert by_name["update"].cold_compile == 1.0


def test_what_cannot_be_compared_is_refused(history, refused, tmp_path):
    refused(bench_compare.main, ["--history=nowhere.jsonl"], "history", "nowhere.jsonl")
    other, alone, broken = (tmp_path / f"{name}.json" for name in ("other", "alone", "broken"))
    other.write_text(json.dumps(benchmark("b", **NOW)), encoding="utf-8")
    append(alone, benchmark(**NOW))
    broken.write_text('{"format": 0}', encoding="utf-8")
    flags = [f"--history={history}"]
    binary, empty = tmp_path / "binary.json", tmp_path / "empty.json"
    binary.write_bytes(b"\xff\xfe")
    empty.write_text('{"format": 1}', encoding="utf-8")
    refused(bench_compare.main, [*flags, f"--against={binary}"], binary, "is no text")
    refused(bench_compare.main, [*flags, f"--against={empty}"], empty, "no benchmark")
    refused(bench_compare.main, [*flags, f"--against={other}"], other, "another machine", "b, 2")
    refused(bench_compare.main, [*flags, f"--against={broken}"], broken, "no benchmark")
    refused(bench_compare.main, [f"--history={alone}"], "no earlier benchmark", "a, 2 cores")
