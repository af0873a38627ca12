"""Metrics as lines of JSON and on the screen."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from explorax.sinks import (
    METRIC_KEYS,
    SKILL_METRIC_KEYS,
    SKILLS_RUN,
    JsonlSink,
    Progress,
    SinkError,
    read_jsonl,
    truncate_jsonl,
)
from lines import metrics


def write(path: Path, *iterations: int) -> None:
    sink = JsonlSink(path)
    for i in iterations:
        sink.write(metrics(i))
    sink.close()


def test_a_line_is_complete_and_on_disk_at_once(tmp_path):
    sink = JsonlSink(tmp_path / "m.jsonl")
    sink.write(metrics(1, extra=3.0, kl_latent=float("nan"), kl_policy=float("inf")))
    (line,) = (tmp_path / "m.jsonl").read_text().splitlines()
    record = json.loads(line, parse_constant=lambda name: pytest.fail(name))
    assert list(record)[: len(METRIC_KEYS)] == list(METRIC_KEYS)
    assert record["return_post"] == -9.0
    assert record["extra"] == 3.0
    for absent in ("line_search_ok", "kl_latent", "kl_policy", "inner_lr_mean"):
        assert record[absent] is None
    sink.close()


def test_lines_are_appended(tmp_path):
    write(tmp_path / "m", 1, 2)
    write(tmp_path / "m", 3)
    assert [r["meta_iteration"] for r in read_jsonl(tmp_path / "m")] == [1, 2, 3]


def test_truncating_drops_what_will_be_done_again(tmp_path):
    path = tmp_path / "m"
    write(path, 1, 2, 3, 4)
    kept = path.read_text().splitlines()[:2]
    assert truncate_jsonl(path, 2) == 1.0
    assert path.read_text().splitlines() == kept
    assert truncate_jsonl(path, 0) == 0.0
    assert path.read_text() == ""
    assert truncate_jsonl(tmp_path / "missing", 5) == 0.0
    assert list(tmp_path.iterdir()) == [path]


def test_a_line_that_a_kill_cut_short_is_dropped(tmp_path):
    path = tmp_path / "m"
    write(path, 1, 2, 3)
    path.write_text(path.read_text()[:-20])
    assert truncate_jsonl(path, 10) == 1.0
    assert [r["meta_iteration"] for r in read_jsonl(path)] == [1, 2]


@pytest.mark.parametrize("junk", ["{", "[1]", "{}", "3", '{"meta_iteration": null}'])
def test_a_broken_line_in_the_middle_is_named(tmp_path, junk):
    path = tmp_path / "m"
    write(path, 1, 2)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], junk, lines[1]]) + "\n")
    before = path.read_text()
    with pytest.raises(SinkError, match=f"{path}: line 2 "):
        truncate_jsonl(path, 1)
    assert path.read_text() == before


def test_without_a_terminal_there_is_a_plain_line_now_and_then():
    out = io.StringIO()
    progress = Progress(total=5, console=Console(file=out, width=60), every_s=1000.0)
    with progress.compiling():
        pass
    for i in range(1, 6):
        progress.write(metrics(i))
    progress.close()
    compiling, compiled, first, last = out.getvalue().splitlines()
    assert compiling == "compiling (once)…"
    assert compiled.startswith("compiled in ")
    assert first.startswith("meta-iteration 1/5  return -20.0 → -9.0  success 0.25 → 0.50  1,234 ")
    assert first.endswith(" s left")
    assert last.startswith("meta-iteration 5/5  return -20.0 → -5.0")


def test_in_a_terminal_the_bar_shows_the_numbers():
    out = io.StringIO()
    console = Console(file=out, width=160, force_terminal=True)
    progress = Progress(total=5, done=2, console=console)
    with progress.compiling():
        pass
    for i in (3, 4):
        progress.write(metrics(i))
    progress.close()
    text = out.getvalue()
    assert "compiling (once)…" in text
    for part in ("4/5", "return -20.0 → -6.0", "success 0.25 → 0.50", "steps/s", "left"):
        assert part in text


def skill_metrics(iteration: int, **more: float) -> dict[str, float]:
    counters = {"meta_iteration": iteration, "env_steps": 100 * iteration, "steps_per_s": 50.0}
    return counters | {"intrinsic_reward": -0.001, "distinct_skills": 2.5} | more


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({"accuracy": 0.25}, "intrinsic reward 0.00  accuracy 0.25  distinct skills 2.50"),
        ({}, "intrinsic reward 0.00  distinct skills 2.50"),
    ],
)
def test_runs_of_skills_show_and_write_their_own_numbers(tmp_path, more, shown):
    """Skills of a continuous space have no accuracy."""
    out = io.StringIO()
    progress = Progress(total=5, console=Console(file=out, width=60), kind=SKILLS_RUN)
    progress.write(skill_metrics(1, **more))
    assert out.getvalue() == f"iteration 1/5  {shown}  50 steps/s  8 s left\n"
    sink = JsonlSink(tmp_path / "m.jsonl", SKILLS_RUN.metric_keys)
    sink.write(skill_metrics(1, **more))
    sink.close()
    (record,) = read_jsonl(tmp_path / "m.jsonl")
    assert tuple(record) == SKILL_METRIC_KEYS
    assert record["accuracy"] == more.get("accuracy")
