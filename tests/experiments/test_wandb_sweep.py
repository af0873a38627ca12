"""A spec as a Weights & Biases sweep."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import wandb
import yaml

import train
import wandb_sweep
from cli import run_main
from explorax.sinks import read_jsonl
from fake_sweeps import SPEC, write_spec
from run_directory import RunDirectory
from sweeping.settings import first_runs
from sweeping.spec import SweepSpec, read_spec, spec_from
from wandb_files import files_with
from wandb_server import KEY, serving
from wandb_sweep import wandb_config

ROOT = Path(__file__).parents[2]
SHIPPED = {p.name: p.read_text() for p in sorted(ROOT.glob("experiments/sweeps/*.yaml"))}
REFERENCE = (ROOT / "experiments/README.md").read_text()
(SHIPPED["README.md"],) = re.findall(r"```yaml\n(.*?)```", REFERENCE, re.S)
TINY = {
    "preset": "point-maesn",
    "metric": "return@2",
    "set": {
        "wandb.project": "mine",
        "train.num_iterations": 2,
        "train.chunk_size": 2,
        "meta.num_train_tasks": 4,
        "meta.meta_batch_size": 4,
        "meta.num_episodes": 4,
        "meta.hidden_sizes": [8],
        "meta.ppo.num_epochs": 2,
        "metatest.num_tasks": 4,
        "metatest.num_iterations": 2,
        "metatest.num_episodes": 4,
    },
}
FIXED = {"meta.hidden_sizes": [8, 8], "meta.learn_inner_lr": False, "wandb.project": "mine"}


def commands(config):
    """Every command that an agent starts for a grid."""
    names, domains = zip(*config["parameters"].items(), strict=True)
    for values in itertools.product(*(domain["values"] for domain in domains)):
        args = [f"--{name}={value}" for name, value in zip(names, values, strict=True)]
        before, after = config["command"][:3], config["command"][3:-1]
        assert before == ["${env}", "${interpreter}", "${program}"]
        assert config["command"][-1] == "${args}"
        yield [*after, *args]


def runs_of(spec: SweepSpec):
    """What a sweep that logs online trains, each setting and seed by itself."""
    online = replace(spec, vmap=(), set={**spec.set, "wandb.mode": "online"})
    return [run.config for run in first_runs(online)]


def test_its_runs_are_those_of_the_sweep():
    spec = spec_from(SPEC | {"set": FIXED})
    config = wandb_config(spec)
    assert (config["method"], config["metric"]["name"]) == ("grid", "return_post")
    assert [train.parse_train(command) for command in commands(config)] == runs_of(spec)


@pytest.mark.parametrize("name", SHIPPED)
def test_specs_that_ship_are_sweeps_of_wandb(tmp_path, capsys, name):
    """They use vmap, which agents do not know of."""
    file = tmp_path / "spec.yaml"
    file.write_text(SHIPPED[name])
    assert run_main(wandb_sweep.main, [str(file), "--dry-run"]) == 0
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("vmap: ignored, ")
    config, spec = yaml.safe_load(said.out), read_spec(file)
    assert config["parameters"].keys() == {*spec.fields, "seed"}
    if spec.method == "grid":
        assert [train.parse_train(command) for command in commands(config)] == runs_of(spec)


def test_ranges_and_methods():
    fields = {
        "meta.kl_coef": {"low": 0.1, "high": 0.5},
        "meta.inner_lr_mean": {"low": 0.5, "high": 5, "log": True},
        "meta.num_episodes": {"low": 4, "high": 40, "int": True},
        "meta.meta_batch_size": {"low": 4, "high": 40, "int": True, "log": True},
        "meta.optimizer": ["ppo", "promp"],
    }
    content = SPEC | {"fields": fields, "num_runs": 10}
    config = wandb_config(spec_from(content | {"method": "tpe"}))
    assert (config["method"], config["run_cap"]) == ("bayes", 20)
    parameters = config["parameters"]
    assert parameters["meta.kl_coef"] == {"min": 0.1, "max": 0.5, "distribution": "uniform"}
    kinds = [parameters[name].get("distribution") for name in fields]
    log = "log_uniform_values"
    assert kinds == ["uniform", log, "int_uniform", f"q_{log}", None]
    assert parameters["meta.optimizer"] == {"values": ["ppo", "promp"]}
    assert parameters["seed"] == {"values": [0, 1]}
    assert wandb_config(spec_from(content | {"method": "random"}))["method"] == "random"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"fields": {"meta.hidden_sizes": [[8], [8, 8]]}}, "fields.meta.hidden_sizes: "),
        ({"fields": {"meta.learn_inner_lr": [True, False]}}, "fields.meta.learn_inner_lr: "),
        ({"fields": {"meta.kl_coef": [-1]}}, "meta.kl_coef: "),
    ],
)
def test_what_agents_cannot_pass_on(refused, tmp_path, change, named):
    spec = write_spec(tmp_path / "spec.yaml", SPEC | change)
    refused(wandb_sweep.main, [spec, "--dry-run"], "spec.yaml", named)


def test_it_is_made_by_wandb(tmp_path, monkeypatch, capsys):
    spec = write_spec(tmp_path / "spec.yaml", SPEC | {"set": FIXED})
    made = []
    monkeypatch.setattr(wandb, "login", lambda prompt: True)
    monkeypatch.setattr(wandb, "sweep", lambda config, project: made.append(project) or "abc")
    assert run_main(wandb_sweep.main, [str(spec), "--dry-run"]) == 0
    assert not made
    assert yaml.safe_load(capsys.readouterr().out)["program"] == "experiments/train.py"
    assert run_main(wandb_sweep.main, [str(spec)]) == 0
    assert made == ["mine"]
    assert capsys.readouterr().out.endswith("make wandb-agent SWEEP=mine/abc\n")


def test_without_a_key_nothing_is_made(tmp_path, no_wandb_account, capsys):
    spec = write_spec(tmp_path / "spec.yaml", SPEC)
    assert run_main(wandb_sweep.main, [str(spec)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: W&B: no API key is set")


@pytest.fixture
def server(no_wandb_account, monkeypatch):
    """A server whose key is in the environment."""
    with serving(KEY) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_INIT_TIMEOUT", "60")
        monkeypatch.setenv("JAX_PLATFORMS", "cpu")
        yield server


@pytest.fixture
def make(tmp_path):
    """Runs a target, by the Python that runs the tests, where nothing but the scripts is."""
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    (tmp_path / "wandb").mkdir()  # or the client's log is elsewhere
    makefile = ["make", "-f", str(ROOT / "Makefile"), f"VENV={sys.prefix}", "STAMP="]
    of_make = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")  # another one may run the tests

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*makefile, *arguments],
            cwd=tmp_path,
            env={k: v for k, v in os.environ.items() if k not in of_make},
            capture_output=True,
            text=True,
            timeout=600,
        )

    return run


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_an_agent_trains_what_the_sweep_asks_for(tmp_path, server, make):
    """As it is typed: the genuine client makes the sweep, and its agent starts the runs."""
    values = [0.1, 0.5]
    content = TINY | {"fields": {"meta.kl_coef": values}}
    spec = write_spec(tmp_path / "spec.yaml", content)
    made = make("wandb-sweep", f"SPEC={spec}")
    assert made.returncode == 0, made.stderr
    command = made.stdout.splitlines()[-1].split()
    assert command == ["make", "wandb-agent", "SWEEP=mine/sweep0"]
    agent = make(*command[1:])
    assert agent.returncode == 0, agent.stderr

    (sweep,) = server.sweeps.values()
    assert [setting["meta.kl_coef"] for setting in sweep.runs.values()] == values
    directories = {run.run_id: run for run in map(RunDirectory.open, (tmp_path / "runs").iterdir())}
    assert directories.keys() == server.runs.keys() == sweep.runs.keys()
    for run_id, config in zip(sweep.runs, runs_of(spec_from(content)), strict=True):
        served, path = server.runs[run_id], directories[run_id].path
        assert directories[run_id].config == replace(config, run_dir=path)
        assert (served.project, served.sweep, served.exit_code) == ("mine", "sweep0", 0)
        setting = {name: {"value": value} for name, value in sweep.runs[run_id].items()}
        assert setting.items() <= served.config.items()
        rows = [row for row in served.history if "return_post" in row]
        for name in ("meta_iteration", "return_post"):
            of_run = [record[name] for record in read_jsonl(path / "metrics.jsonl")]
            assert [row[name] for row in rows] == of_run
        report = json.loads((path / "metatest.json").read_text())
        assert served.summary["metatest/return"] == report["return"]["mean"][-1]

    assert list(tmp_path.glob("wandb/debug-cli.*.log"))
    assert not files_with(KEY, tmp_path)
    for done in (made, agent):
        assert KEY not in done.stdout + done.stderr


@pytest.mark.parametrize("key", ["0ff" * 14, "0ff0ff0ff"])
def test_a_wrong_key_makes_nothing_and_is_not_told(tmp_path, server, monkeypatch, capfd, key):
    monkeypatch.setenv("WANDB_API_KEY", key)
    spec = write_spec(tmp_path / "spec.yaml", SPEC)
    assert run_main(wandb_sweep.main, [str(spec)]) == 1
    said = capfd.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("error: W&B: ")
    assert not server.sweeps
    assert key not in said.out + said.err
    assert not files_with(key, tmp_path)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_an_agent_does_not_tell_a_wrong_key(tmp_path, server, make, monkeypatch):
    wrong = "0ff" * 14
    monkeypatch.setenv("WANDB_API_KEY", wrong)
    agent = make("wandb-agent", "SWEEP=mine/sweep0")
    assert agent.returncode != 0
    assert "invalid API key" in agent.stderr
    assert not server.agents
    assert list(tmp_path.glob("wandb/debug-cli.*.log"))
    assert wrong not in agent.stdout + agent.stderr
    assert not files_with(wrong, tmp_path)
