"""How runs explore a task, side by side: one task for all rows, and what is refused."""

import json
import re
import shutil

import numpy as np
import pytest

import explorax_envs
import explore
import train
from cli import run_main
from episode_pictures import STAGES, stage_name
from held_out import held_out_tasks
from presets import PRESETS


def edit(run_dir, change) -> None:
    """Changes the settings in a run's config.json."""
    file = run_dir / "config.json"
    content = json.loads(file.read_text())
    change(content["config"])
    file.write_text(json.dumps(content))


@pytest.fixture
def drawn(monkeypatch):
    """What ``render_paths`` of the point robot was called with."""
    calls, draw = [], explorax_envs.point.render_paths

    def keep(obs, task, path, **kwargs):
        calls.append((obs, task, kwargs))
        draw(obs, task, path, **kwargs)

    monkeypatch.setattr(explorax_envs.point, "render_paths", keep)
    return calls


def test_runs_are_drawn_on_one_task(finished, tmp_path, drawn, snapshot, capfd):
    """Two equal runs look the same; another task is another goal; nothing of a run changes."""
    twin = shutil.copytree(finished, tmp_path / "twin")
    edit(twin, lambda config: config["env"].update(reward="sparse"))  # the test's in any case
    edit(twin, lambda config: config.update(preset="point-rl2"))
    before, out = snapshot(finished), tmp_path / "new" / "out.png"
    capfd.readouterr()
    assert run_main(explore.main, [str(finished), str(twin), "--task=7", f"--out={out}"]) == 0
    assert snapshot(finished) == before
    assert out.read_bytes().startswith(b"\x89PNG")
    ((obs, task, kwargs),) = drawn
    assert obs.shape == (2, len(STAGES), 20, 20, 2)
    np.testing.assert_array_equal(obs[0], obs[1])
    assert not np.array_equal(obs[0, 0], obs[0, 2])
    goals = held_out_tasks(explorax_envs.make("point"), 100).goal
    np.testing.assert_array_equal(task.goal, goals[7])
    assert kwargs["rows"] == ["point-maesn, seed 0", "point-rl2, seed 0"]
    heads = [re.sub(r"\n.*", "", name) for name in kwargs["names"]]
    assert heads == 2 * ["before adaptation", "after 1 inner step", "after 5 inner steps"]
    said = capfd.readouterr().out
    assert said.count("after 5 inner steps") == 2
    (share,) = re.findall(r"return -\d+, (\d+)% of episodes succeed", kwargs["names"][2])
    seen = np.linalg.norm(obs[0, 2] - goals[7], axis=-1) <= 0.2
    assert seen.any(axis=-1).mean() <= int(share) / 100, "only the last state is not seen"


@pytest.mark.slow
def test_a_seed_of_several_is_a_row_of_its_own(tiny, tmp_path, drawn):
    run = tmp_path / "two"
    flags = [*tiny, "--train.num-iterations=3", "--num-seeds=2", f"--run-dir={run}"]
    assert run_main(train.main, flags) == 0
    paths = [str(run), str(run / "seed0"), str(run / "seed1")]
    assert run_main(explore.main, [*paths, f"--out={tmp_path / 'out.png'}"]) == 0
    ((obs, _, kwargs),) = drawn
    twice = f"point-maesn, seed 0\n{run.parent.name}/two"
    assert kwargs["rows"] == [twice, twice, "point-maesn, seed 1"]
    np.testing.assert_array_equal(obs[0], obs[1])
    assert not np.array_equal(obs[0], obs[2])


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ([], ["run_dirs"]),
        (["nowhere"], ["nowhere"]),
        (["RUN", "nowhere"], ["nowhere"]),
        (["RUN", "RUN/seed1"], ["seed1"]),
        (["RUN", "--task=100"], ["task: ", "0..99"]),
        (["RUN", "--task=-1"], ["task: ", "0..99"]),
        (["RUN", "--out=a.gif"], ["out: ", ".png"]),
        (["RUN", "--out=there.png"], ["out: there.png", "exists"]),
    ],
)
def test_wrong_flags(refused, finished, tmp_path, flags, names):
    (tmp_path / "there.png").write_text("mine")
    refused(explore.main, [flag.replace("RUN", str(finished)) for flag in flags], *names)


def test_runs_on_other_environments(refused, finished, tmp_path):
    other = shutil.copytree(finished, tmp_path / "other")
    edit(other, lambda config: config["env"].update(name="push"))
    refused(explore.main, [finished, other], f"run_dirs: {other} has env.name push", "point")


@pytest.mark.parametrize("field", ["block_shape", "physics"])
def test_runs_on_other_variants_of_an_environment(refused, finished, tmp_path, field):
    edit(finished, lambda config: config["env"].update(name="push"))
    other = shutil.copytree(finished, tmp_path / "other")
    value = {"block_shape": "box", "physics": "exact"}[field]
    edit(other, lambda config: config["env"].update({field: value}))
    refused(explore.main, [finished, other], f"run_dirs: {other} has env.{field} {value}")


def test_runs_that_are_not_finished(refused, finished):
    edit(finished, lambda config: config["train"].update(num_iterations=9))
    refused(explore.main, [finished], "run_dirs: ", finished, "6 of 9", "--resume")
    shutil.rmtree(finished / "checkpoints")
    refused(explore.main, [finished], finished / "checkpoints")


@pytest.mark.parametrize(
    ("preset", "words"),
    [
        ("push-maesn", ["after 1 inner step", "after 5 inner steps"]),
        ("push-rl2", ["after 1 episode remembered", "after 5 episodes remembered"]),
        ("push-rnd", ["after 1 outer step on it alone", "after 5 outer steps on it alone"]),
    ],
)
def test_stages_have_the_words_of_the_method(preset, words):
    assert [stage_name(PRESETS[preset], stage) for stage in STAGES] == ["before adaptation", *words]
