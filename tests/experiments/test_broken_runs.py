"""Runs that are not finite any more: what broke is named, and met again by going on."""

import re

import jax
import jax.numpy as jnp
import pytest

import diagnosis
import learners
import train
from cli import run_main
from explorax.sinks import read_jsonl
from explorax.train import Replayed
from explorax_envs.point import Point
from stopped_runs import steps


@pytest.fixture
def broken_params(monkeypatch):
    """Runs whose parameters are none from update 5 on."""
    build = learners.build

    def build_broken(*args):
        learner = build(*args)

        def update(state):
            state, metrics = learner.update(state)
            broken = state.iteration >= 5
            poison = lambda x: jnp.where(broken, jnp.nan, x)  # noqa: E731
            state = state._replace(params=jax.tree.map(poison, state.params))
            return state, metrics | {"finite": 1.0 - broken.astype(jnp.float32)}

        return learner._replace(update=update)

    monkeypatch.setattr(learners, "build", build_broken)


@pytest.mark.usefixtures("broken_params")
def test_what_broke_is_named_and_met_again(tiny, tmp_path, capfd):
    """The last good checkpoint is all that a replay needs; exit code 1."""
    run_dir = tmp_path / "broken"
    assert run_main(train.main, [*tiny, "--train.num-iterations=20", f"--run-dir={run_dir}"]) == 1
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("error: not finite at meta-iteration 5: params.policy.params.")
    assert error.endswith("; the checkpoint of meta-iteration 3 is kept; --resume meets it again")
    assert steps(run_dir) == [3]
    records = read_jsonl(run_dir / "metrics.jsonl")
    assert [r["finite"] for r in records] == [1.0] * 4 + [0.0]
    assert not (run_dir / "metatest.json").exists()

    assert run_main(train.main, ["--resume", f"--run-dir={run_dir}"]) == 1
    assert capfd.readouterr().err.splitlines()[-1] == error
    without_clocks = lambda r: r | {"wall_s": 0, "steps_per_s": 0}  # noqa: E731
    again = read_jsonl(run_dir / "metrics.jsonl")
    assert list(map(without_clocks, again)) == list(map(without_clocks, records))


@pytest.mark.usefixtures("broken_params")
def test_a_fault_that_does_not_come_again_is_called_one(tiny, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(diagnosis, "replay", lambda *_: Replayed(True, []))
    flags = [*tiny, "--train.num-iterations=6", f"--run-dir={tmp_path / 'broken'}"]
    assert run_main(train.main, flags) == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        "error: not finite at meta-iteration 5; the checkpoint of meta-iteration 3 is kept; "
        "a replay from there is finite, as after a fault of the machine: --resume goes on"
    )


class FragilePoint(Point):
    """Its position is lost where it goes far."""

    def step(self, state, action):
        state = super().step(state, action)
        far = jnp.abs(state.obs).max() > 1.5
        return state.replace(obs=jnp.where(far, jnp.nan, state.obs))


def test_physics_that_break_are_met_again(tiny, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(learners, "make_env", lambda config: FragilePoint(config.reward))
    run_dir = tmp_path / "broken"
    assert run_main(train.main, [*tiny, "--train.num-iterations=20", f"--run-dir={run_dir}"]) == 1
    error = capfd.readouterr().err.splitlines()[-1]
    assert re.search(r"not finite at meta-iteration \d+: return_\w+, .* params\.policy\.", error)
    assert run_main(train.main, ["--resume", f"--run-dir={run_dir}"]) == 1
    assert capfd.readouterr().err.splitlines()[-1] == error
