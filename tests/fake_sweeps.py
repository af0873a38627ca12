"""Sweeps whose runs are tiny programs: they write what a meta-test would, and train nothing."""

import csv
import json
from dataclasses import asdict, replace
from pathlib import Path

from child_runs import is_finished
from run_directory import RunDirectory
from sweeping.settings import first_runs
from sweeping.spec import read_spec

SPEC = {
    "preset": "point-maesn",
    "seeds": [0, 1],
    "fields": {"meta.inner_lr_mean": [1.0, 2.0, 3.0], "meta.kl_coef": [0.1, 0.5]},
    "set": {"train.num_iterations": 4},
}

WRITES = """
import json, sys
print("writes", len(sys.argv[1]), "bytes")
for file, report in json.loads(sys.argv[1]).items():
    open(file, "w").write(json.dumps(report))
"""

FAILS = "import sys; print('line one'); print('no more memory'); sys.exit(1)"

STOPS_THE_SWEEP = """
import os, signal, sys, time
def save(number, _):
    print("saved")
    sys.exit(130 if number == signal.SIGINT else 0)
signal.signal({number}, save)
os.kill(os.getppid(), {number})
time.sleep(20)
"""


def write_spec(path: Path, content: dict) -> Path:
    """A spec's file: JSON is YAML."""
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def ids(spec_file: Path) -> list[str]:
    """Of the runs that are known before the sweep begins."""
    return [run.id for run in first_runs(read_spec(spec_file))]


def rows(path: Path) -> list[dict[str, str]]:
    """A CSV's lines."""
    return list(csv.DictReader(path.open(encoding="utf-8")))


def score(config) -> float:
    """The best settings are those nearest to 2 and 0.1."""
    return -abs(config.meta.inner_lr_mean - 2.0) - config.meta.kl_coef - 0.01 * config.seed


def report(config) -> dict:
    """What the meta-test of one seed leaves."""
    after = [score(config) - 1.0] * (config.metatest.num_iterations + 1)
    after[5] = score(config)
    success = [0.5] * len(after)
    sizes = asdict(config.metatest) | {"meta_iteration": config.train.num_iterations}
    scores = {"return": {"mean": after}, "success": {"mean": success}}
    return sizes | {"tasks": None} | scores


def write_metrics(run: RunDirectory, num_iterations: int) -> None:
    """What so many iterations of training leave."""
    for member in run.members():
        lines = [
            {
                "meta_iteration": i + 1,
                "env_steps": 100 * (i + 1),
                "wall_s": 30.0 * (i + 1),
                "steps_per_s": 100 / 30,
                "return_post": -float(i),
            }
            for i in range(num_iterations)
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        member.metrics.write_text(text, encoding="utf-8")


class FakeRuns:
    """Stands in for ``child_runs.command_of``.

    ``programs`` has by id what a run does at its next start in place of writing its reports;
    ``started`` every start.
    """

    def __init__(self):
        self.programs: dict[str, list[str]] = {}
        self.started: list[str] = []

    def __call__(self, config, path):
        if not path.exists():
            return self._command(RunDirectory.create(replace(config, run_dir=path)))
        run = RunDirectory.open(path)
        return None if is_finished(run) else self._command(run)

    def _command(self, run: RunDirectory) -> list[str]:
        write_metrics(run, 4)
        name = run.path.name
        self.started.append(name)
        if self.programs.get(name):
            return ["-c", self.programs[name].pop(0)]
        members = run.members()
        reports = {str(m.path / "metatest.json"): report(m.config) for m in members}
        return ["-c", WRITES, json.dumps(reports)]
