"""The benchmark: its sections with figures that are made up, its processes, one real program."""

import json
import os
import zlib

import pytest

import bench
from benchmarks import runner
from benchmarks.cases import MATRIX, PHASES, Case, config_of, name_of, programs_of
from benchmarks.derived import MEANINGS, phase_shares, seed_costs
from benchmarks.doubling import doublings, knee, to_the_knee
from benchmarks.flops import policy_flops
from benchmarks.runner import in_own_process
from benchmarks.sections import SECTIONS
from cli import run_main
from explorax.algos.maesn import maesn


def made_up(case, _timeout):
    """Figures of a case; those with trpo fail."""
    if case.program == "devices":
        return {"platform": "cpu", "kind": "cpu", "count": 2}
    if case.optimizer == "trpo":
        return {"error": "RESOURCE_EXHAUSTED: out of memory"}
    seconds = 1.0 + PHASES.index(case.program) if case.program in PHASES else 2.0
    noise = zlib.crc32(name_of(case).encode()) % 100 / 1e4
    times = {name: seconds + noise for name in ("seconds", "seconds_min", "seconds_max")}
    figures = {"steps": 800, "steps_per_s": 800 / (seconds + noise), "num_calls": 5, **times}
    figures |= {"setup_s": 1.0, "cold_compile_s": 4.0, "cached_compile_s": 2.0}
    figures |= {"policy_flops": 10**6, "flops_per_s": 1e9, "peak_host_mib": 500.0}
    return figures | {"sampling_s": 20.0, "learning_s": 10.0}


@pytest.fixture
def timed(monkeypatch, tmp_path):
    """The names of cases that were timed, with figures that are made up, in an empty directory."""
    names = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("benchmarks.sections.cpu_cores", lambda: 2)

    def run(case, timeout_s):
        names.append(name_of(case))
        return made_up(case, timeout_s)

    monkeypatch.setattr("bench.in_own_process", run)
    return names


def test_all_sections_are_timed_written_and_drawn(timed, tmp_path, capsys):
    assert bench.main(["--sections", "all", "--sweep-points=3"]) == 0
    written = json.loads((tmp_path / "runs/bench/latest.json").read_text(encoding="utf-8"))
    assert list(written["sections"]) == list(SECTIONS)
    assert len(timed) == len(set(timed)) == len(written["rows"])
    (line,) = (tmp_path / "runs/bench/history.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == written
    assert {"processor", "cores", "versions", "commit"} <= set(written["machine"])
    assert written["flags"]["sections"] == ["all"]
    assert (tmp_path / "runs/bench/latest.png").read_bytes().startswith(b"\x89PNG")
    for preset in MATRIX:
        assert len(written["sections"]["matrix"][preset]["rows"]) == len(programs_of(preset))
    assert written["sections"]["phases"]["shares"]["ppo"]["outer step"] == pytest.approx(0.2, 0.1)
    assert written["sections"]["phases"]["shares"]["trpo"] is None
    ratios = written["sections"]["baseline"]["ratios"]["push-maesn host_loop ppo 20x40 threads=1 "
                                                       "workers=1"]  # fmt: skip
    assert ratios["sampling"] == pytest.approx(20 / 3, 0.1)
    said = capsys.readouterr()
    assert "RESOURCE_EXHAUSTED: out of memory" in said.out  # a row; the others went on
    assert "push-maesn update ppo 20x40" in said.out


def test_a_benchmark_that_runs_out_of_time_says_so(timed):
    assert run_main(bench.main, ["--sections", "core", "--max-minutes=1e-9"]) == 1
    assert timed == []


def test_a_benchmark_of_which_everything_failed_is_in_no_history(monkeypatch, tmp_path, capsys):
    """But for the question which devices there are, which jax answers all the same."""
    monkeypatch.chdir(tmp_path)
    answer = lambda case, _: {"count": 2} if case.program == "devices" else {"error": "killed"}  # noqa: E731
    monkeypatch.setattr("bench.in_own_process", answer)
    assert run_main(bench.main, ["--sections", "core"]) == 1
    assert "nothing could be measured" in capsys.readouterr().err
    assert not (tmp_path / "runs/bench/history.jsonl").exists()


def test_flags_that_fit_nothing_are_refused(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(bench.main, ["--num-tasks=2000000"], "meta_batch_size", "1000000")
    refused(bench.main, ["--sweep-points=11"], "sweep_points", "1..10")
    refused(bench.main, ["--sections", "spam"], "sections")
    refused(bench.main, ["--presets", "push-spam"], "presets", "push-spam")
    refused(bench.main, ["--preset", "push-rnd"], "preset", "push-rnd")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import sys; print('a page', file=sys.stderr); raise MemoryError('too large')",
         "MemoryError: too large"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL (out of memory?)"),
        ("import time; time.sleep(60)", "not measured: took longer than 1 s"),
    ],
)  # fmt: skip
def test_a_process_that_fails_is_a_row(code, expected, tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text(code, encoding="utf-8")
    monkeypatch.setattr(runner, "SCRIPT", script)
    timeout_s = 1.0 if "sleep" in code else 60.0
    assert in_own_process(Case("update"), timeout_s) == {"error": expected}


@pytest.mark.slow
def test_a_program_is_timed_in_a_process_of_its_own():
    case = Case("update", preset="point-maesn", num_tasks=2, num_episodes=2, repeats=2)
    figures = in_own_process(case, timeout_s=300.0)
    assert "error" not in figures, figures
    assert figures["steps"] == 2 * 2 * 2 * 20  # tasks, episodes, stages, horizon
    assert figures["steps_per_s"] == pytest.approx(figures["steps"] / figures["seconds"])
    assert figures["seconds_min"] <= figures["seconds"] <= figures["seconds_max"]
    assert figures["cold_compile_s"] > figures["cached_compile_s"] > 0
    assert figures["num_calls"] == 2
    assert figures["peak_host_mib"] > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "preset"),
    [
        *((program, "push-maesn") for program in (*PHASES, "metatest")),
        ("rollout", "push-maml"),
        ("stages", "push-maml"),
    ],
)
def test_every_program_runs_what_it_says(program, preset):
    case = Case(program, preset=preset, num_tasks=2, num_episodes=2, repeats=1, cached=False)
    figures = in_own_process(case, timeout_s=600.0)
    stages = 4 if program == "metatest" else 2
    assert figures["steps"] == 2 * 2 * stages * 100  # tasks, episodes, stages, horizon


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"num_seeds": 3, "optimizer": "ppo"},
        {"devices": 2 * (os.cpu_count() or 1), "num_tasks": 2 * (os.cpu_count() or 1)},
        {"preset": "push-hmrl-skills"},
    ],
)
def test_updates_of_seeds_devices_and_skills(fields):
    case = Case("update", **{"num_tasks": 2, "num_episodes": 2, "repeats": 1, **fields})
    figures = in_own_process(case, timeout_s=600.0)
    assert figures["steps"] == case.num_seeds * case.num_tasks * 2 * 2 * 100
    assert case.devices == 0 or figures["num_devices"] == case.devices


@pytest.mark.parametrize("preset", MATRIX)
def test_every_preset_of_the_matrix_can_be_made_small(preset):
    for program in programs_of(preset):
        case = Case(program, preset=preset, num_tasks=2, num_episodes=2)
        assert name_of(case) != name_of(Case(program, preset=preset))
        assert config_of(case).preset == preset


def speeds(*values):
    """Rows by size 1, 2, 4, ... ; None is one that failed."""
    rows = [{"error": "x"} if v is None else {"steps_per_s": v} for v in values]
    return {2**i: row for i, row in enumerate(rows)}


@pytest.mark.parametrize(
    ("rows", "at_least", "measured", "at"),
    [
        (speeds(100, 190, 300, 310, 320, 999), 0, 5, 4),  # two are no tenth more than the third
        (speeds(100, 190, 150, 400, 410, 999), 0, 5, 8),  # one that does not pay may be noise
        (speeds(100, 105, 101, 300, 310, 999), 8, 5, 8),  # below the least none is left out
        (speeds(100, 100, 100, 100, 999), 8, 4, 1),  # and at the least it ends
        (speeds(100, 190, None, 999), 0, 3, 2),
        (speeds(None, 999), 0, 1, None),
    ],
)
def test_sizes_are_doubled_to_the_knee(rows, at_least, measured, at):
    found = to_the_knee(rows.__getitem__, first=1, points=5, at_least=at_least)
    assert list(found) == list(rows)[:measured]
    assert knee(found) == at


def test_doublings_end_with_the_most():
    assert list(doublings(8)) == [1, 2, 4, 8]
    assert list(doublings(6)) == [1, 2, 4, 6]
    assert list(doublings(1)) == [1]


def test_shares_of_phases_add_up_and_noise_is_nothing():
    seconds = dict(zip(PHASES, (1.0, 2.0, 1.5, 3.0, 4.0), strict=True))
    rows = {name: {"seconds_min": value} for name, value in seconds.items()}
    shares = phase_shares(rows)
    assert list(shares.values()) == [0.25, 0.25, 0.0, 0.25, 0.25]
    assert list(shares) == list(MEANINGS.values())
    assert phase_shares(rows | {"stages": {"error": "x"}}) is None


def test_seeds_cost_what_their_updates_and_programs_do():
    one = {"setup_s": 1.0, "seconds": 0.1, "cold_compile_s": 9.0, "cached_compile_s": 4.0}
    eight = {"setup_s": 2.0, "seconds": 0.9, "cold_compile_s": 12.0}
    costs = seed_costs({1: one, 8: eight, 16: {"error": "x"}}, num_iterations=100)
    assert list(costs) == ["8"]
    assert costs["8"]["update"] == pytest.approx(0.9 / 0.8)
    assert costs["8"]["run"] == pytest.approx((2 + 12 + 90) / (8 * (1 + 10) + 9 + 7 * 4))


def test_flops_of_the_policy_by_hand():
    meta = maesn(
        optimizer="ppo", meta_batch_size=2, num_episodes=3, hidden_sizes=(5,), latent_dim=2
    )
    forward = 2 * ((4 + 2) * 5 + 5 * 1)
    samples = 2 * 3 * 10
    flops = [policy_flops(meta, 4, 1, 10, program) for program in ("rollout", "update")]
    assert flops == [2 * samples * forward, (2 + 3 * 8) * samples * forward]
    assert policy_flops(maesn(), 4, 1, 10, "update") is None
