"""Runs that are not finite any more: what broke is named, kept, and met again by going on.

Only where numbers are lost is made up; that they are is found out as in any run.
"""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import diagnosis
import disks
import learners
import skills
import train
from cli import run_main
from explorax import optimizers
from explorax.checkpoint import Checkpoints
from explorax.metrics import all_finite
from explorax.parallel import local, replicate
from explorax.train import compile_chunk, replay
from explorax_envs.point import Point
from explorax_envs.push import Push
from run_directory import RunDirectory
from stopped_runs import metrics, steps
from tiny_runs import SKILLS
from trees import bits


def poison(tree, where):
    return jax.tree.map(lambda x: jnp.where(where, jnp.nan, x), tree)


def in_parameters(monkeypatch):
    """Lost at the beginning of update 5."""
    build = learners.build

    def build_broken(*args):
        learner = build(*args)

        def update(state):
            params = poison(state.params, state.iteration == 4)
            return learner.update(state._replace(params=params))

        return learner._replace(update=update)

    monkeypatch.setattr(learners, "build", build_broken)


def in_gradients(monkeypatch):
    """Those of update 5."""
    adam = optimizers.adam_optimizer

    def adam_broken(config):
        optimizer = adam(config)

        def update(gradient, state, params):
            is_late = state[0].count >= 4 * config.ppo.num_epochs
            return optimizer.update(poison(gradient, is_late), state, params)

        return optax.GradientTransformation(optimizer.init, update)

    monkeypatch.setattr(optimizers, "adam_optimizer", adam_broken)


class FragilePoint(Point):
    """Something is lost where it goes far."""

    def __init__(self, what: str, limit: float, reward: str):
        super().__init__(reward)
        self.what, self.limit = what, limit

    def step(self, state, action):
        state = super().step(state, action)
        is_far = jnp.abs(state.obs).max() > self.limit
        return state.replace(**{self.what: poison(getattr(state, self.what), is_far)})


def in_rewards(monkeypatch):
    make = lambda config: FragilePoint("reward", 1.5, config.reward)  # noqa: E731
    monkeypatch.setattr(learners, "make_env", make)


def in_physics(monkeypatch, limit=1.5):
    make = lambda config: FragilePoint("obs", limit, config.reward)  # noqa: E731
    monkeypatch.setattr(learners, "make_env", make)


class FragilePush(Push):
    """Its joints are lost before a step of MJX, where the hand is far."""

    def advance(self, state, action):
        physics = state.pipeline_state
        is_far = jnp.abs(physics.qpos[:2]).max() > 0.1
        lost = physics.replace(qpos=poison(physics.qpos, is_far))
        return super().advance(state.replace(pipeline_state=lost), action)


def in_joints(monkeypatch):
    monkeypatch.setattr(learners, "make_env", lambda config: FragilePush(reward=config.reward))


@pytest.fixture
def breaks(tmp_path, capfd):
    """Runs a script until it is not finite; gives its directory and what it says last."""
    run_dir = tmp_path / "run"

    def run(main, flags) -> tuple[Path, str]:
        assert run_main(main, [*flags, f"--run-dir={run_dir}"]) == 1
        return run_dir, capfd.readouterr().err.splitlines()[-1]

    return run


def check_redone(run_dir: Path, iteration: int) -> None:
    """One update of the state that was kept last is, bit for bit, the one that is not finite."""
    run = RunDirectory.open(run_dir)
    setup = learners.set_up(run.config)
    with Checkpoints(run.broken, read_only=True) as states:
        assert states.steps() == [iteration - 1, iteration]
        before, after = (learners.restore(states, setup, step).state for step in states.steps())
    assert all_finite(before.params)
    assert not all_finite(after.params)
    chunk = compile_chunk(setup.learner, run.config.train.chunk_size)
    state = replicate(before, setup.mesh)
    state, found = chunk(state, replicate(np.int32(1), setup.mesh))
    assert found["finite"][0] == 0.0
    assert bits(local(state)) == bits(after)


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (in_parameters, r"5: return_pre, .*; params\.policy\."),
        (in_gradients, r"5: kl_latent, .*; params\.policy\."),
        pytest.param(in_rewards, r"\d+: return_\w+, .*; params\.policy\.", marks=pytest.mark.slow),
        (in_physics, r"\d+: return_\w+, .*; params\.policy\."),
        pytest.param(in_joints, r"\d+: return_\w+, .*; params\.policy\.", marks=pytest.mark.slow),
    ],
)
def test_what_broke_is_named_and_met_again(fault, what, tiny, breaks, monkeypatch):
    """The last good checkpoint is all that a replay needs; exit code 1."""
    fault(monkeypatch)
    run_dir, error = breaks(train.main, [*tiny, "--train.num-iterations=20"])
    assert re.match(rf"error: not finite at meta-iteration {what}", error)
    iteration = int(re.findall(r"\d+", error)[0])
    assert f"the states of meta-iteration {iteration - 1} and {iteration} are in " in error
    kept = 3 * ((iteration - 1) // 3)
    where = f"the checkpoint of meta-iteration {kept} is kept" if kept else "none was saved"
    assert error.endswith(f" are in {run_dir}/broken; {where}; --resume meets it again")
    assert steps(run_dir)[-1:] == [kept][: kept > 0]
    records = metrics(run_dir)
    assert [r["finite"] for r in records] == [1.0] * (iteration - 1) + [0.0]
    assert not (run_dir / "metatest.json").exists()
    check_redone(run_dir, iteration)

    assert breaks(train.main, ["--resume"]) == (run_dir, error)
    assert metrics(run_dir) == records
    check_redone(run_dir, iteration)


def test_physics_that_break_end_a_run_of_skills(breaks, monkeypatch):
    in_physics(monkeypatch, limit=0.5)
    run_dir, error = breaks(skills.main, SKILLS)
    what = r"intrinsic_reward, .*; params\.sac\."
    found = re.match(rf"error: not finite at iteration (\d+): {what}", error)
    assert found, error
    assert f"are in {run_dir}/broken; " in error
    check_redone(run_dir, int(found[1]))


def test_a_fault_that_does_not_come_again_is_called_one(tiny, breaks, monkeypatch):
    """What is kept of it is the state that the run had when it was noticed."""
    flags, build = [*tiny, "--train.num-iterations=6"], learners.build
    in_parameters(monkeypatch)

    def replay_soundly(_, *rest):
        monkeypatch.setattr(learners, "build", build)
        return replay(learners.set_up(train.parse_train(flags)).learner, *rest)

    monkeypatch.setattr(diagnosis, "replay", replay_soundly)
    run_dir, error = breaks(train.main, flags)
    assert error.startswith("error: not finite at meta-iteration 5: return_pre, ")
    assert error.endswith(
        f"; the states of meta-iteration 4 and 6 are in {run_dir}/broken; the checkpoint of "
        "meta-iteration 3 is kept; a replay from there is finite, as after a fault of the "
        "machine: --resume goes on"
    )
    run = RunDirectory.open(run_dir)
    with Checkpoints(run.broken, read_only=True) as states:
        setup = learners.set_up(run.config)
        before, after = (learners.restore(states, setup, step).state for step in (4, 6))
    assert all_finite(before.params)
    assert not all_finite(after.params)


def test_a_full_disk_does_not_hide_what_broke(tiny, breaks, monkeypatch):
    disks.fill(monkeypatch, "broken")
    in_parameters(monkeypatch)
    run_dir, error = breaks(train.main, [*tiny, "--train.num-iterations=6"])
    assert error.startswith("error: not finite at meta-iteration 5: return_pre, ")
    assert f"; {run_dir}/broken/4: cannot be written (OSError: " in error
    assert error.endswith("; the checkpoint of meta-iteration 3 is kept; --resume meets it again")
