"""What the ablation draws and tables, on runs written by hand."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

import ablation
from ablation_runs import ROWS, VARIANTS, run_of, skill_runs
from consoles import WIDTH
from errors import UsageError
from run_directory import RunDirectory

NUM_TASKS = 6
HARD = 40.0 * np.arange(NUM_TASKS)[:, None]
"""What every method loses on a task: it cancels in differences."""

ORDER = [*ROWS, *VARIANTS]


def scores(name: str, reward: str, num_iterations: int):
    """Each method gains 10 more than the one before it in ORDER; sparse is 100 below dense."""
    gain = 10.0 * ORDER.index(name)
    gain *= np.minimum(np.arange(num_iterations + 1), 5) / 5
    below = 100.0 if reward == "sparse" else 0.0
    returns = np.broadcast_to(-300.0 - HARD + gain - below, (NUM_TASKS, num_iterations + 1))
    return {"return": returns.tolist(), "success": ((returns + 600) / 600).tolist()}


def write_report(run, name: str, reward: str) -> None:
    """What the meta-test of one seed leaves, and its training's clock."""
    test = run.config.metatest
    per_task = scores(name, reward, test.num_iterations)
    means = {key: np.mean(rows, axis=0).tolist() for key, rows in per_task.items()}
    content = {
        "preset": run.config.preset,
        "seed": run.config.seed,
        "env": "push",
        "meta_iteration": run.config.train.num_iterations,
        "settings_id": name,
        "tasks": None,
        "num_tasks": NUM_TASKS,
        "num_episodes": test.num_episodes,
        "num_iterations": test.num_iterations,
        "do_nothing": {"return": -432.0, "success": 0.04},
        "per_task": per_task,
        **{key: {part: mean for part in ("mean", "low", "high")} for key, mean in means.items()},
    }
    (run.path / "metatest.json").write_text(json.dumps(content), encoding="utf-8")
    if run.config.train.num_iterations > 0:
        write_clock(run, 1200.0)


def write_clock(run, wall_s: float) -> None:
    lines = [
        {"meta_iteration": i, "env_steps": i, "wall_s": wall_s * i / 2, "steps_per_s": 1.0}
        for i in (1, 2)
    ]
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def write_skills(run, num_tasks: int = NUM_TASKS) -> None:
    """The best skill is at -350 on average, that of the trials 50 above it."""
    of_task = {"return": (-250.0 - HARD[:, 0]).tolist(), "success": [0.25] * NUM_TASKS}
    tried = {"return": (-200.0 - HARD[:, 0]).tolist(), "success": [0.5] * NUM_TASKS}
    names = {"best_on_average": of_task, "best_per_task": tried}
    means = {key: {"mean": 0.0, "low": None, "high": None} for key in ("return", "success")}
    zero_shot = {name: means | {"per_task": scored} for name, scored in names.items()}
    zero_shot["do_nothing"] = {"return": -432.0, "success": 0.04}
    content = {"env": "push", "num_tasks": num_tasks, "zero_shot": zero_shot}
    (run.path / "skills.json").write_text(json.dumps(content), encoding="utf-8")
    write_clock(run, 300.0)


def fabricate(wanted) -> None:
    """In place of trainings: what they leave."""
    for path, config in wanted.items():
        run = RunDirectory.create(replace(config, run_dir=path))
        for member in run.members():
            if config.target == "skills":
                write_skills(member)
            else:
                name = path.name.removeprefix("push-")
                reward = "sparse" if "push-sparse" in str(path) else "dense"
                write_report(member, name, reward)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Nothing is trained; runs are fabricated below the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ablation, "train_missing", fabricate)
    return tmp_path


def table(path):
    """Its lines by row and iteration."""
    lines = csv.DictReader(path.open(encoding="utf-8"))
    return {(line["row"], line["iteration"]): line for line in lines}


def numbers(line, *names):
    return [float(line[name]) for name in names]


DIFFERENCE = ("return_difference", "return_difference_low", "return_difference_high")


def test_all_rows_are_drawn_and_tabled(trained, capsys):
    assert ablation.main(["--reward=both", "--seeds=2"]) == 0
    out = trained / "runs/ablation"
    for reward, below in (("dense", 0.0), ("sparse", 100.0)):
        assert (out / f"{reward}.png").read_bytes().startswith(b"\x89PNG")
        curves = list(csv.DictReader((out / f"{reward}.csv").open(encoding="utf-8")))
        assert list(dict.fromkeys(line["label"] for line in curves)) == list(ROWS)
        assert {line["seeds"] for line in curves} == {"2"}
        each = list(csv.DictReader((out / f"{reward}-runs.csv").open(encoding="utf-8")))
        assert len(each) == 2 * (8 * 11 + 3 * 101)
        assert (out / f"{reward}-training.csv").read_text().count("\n") == 1 + 2 * 2 * 8
        lines = table(out / f"{reward}-table.csv")
        alone = [(name, "100") for name in ("scratch", "rnd", "diayn-scratch")]
        assert set(lines) == {
            ("doing-nothing", ""),
            ("best-skill", ""),
            ("best-skill-tried", ""),
            *((name, "5") for name in ROWS),
            *alone,
        }
        above = lines["hmrl-skills", "5"]
        assert numbers(above, "return", "return_0", "return_1", "return_8") == pytest.approx(
            [-310 - below, -400 - below, -382 - below, -310 - below]
        )
        assert numbers(above, *DIFFERENCE) == pytest.approx([50.0] * 3), "tasks are the same"
        assert float(above["return_low"]) < float(above["return"]) - 20, "of tasks, by themselves"
        assert numbers(above, "success_difference") == pytest.approx([50 / 600], abs=1e-4)
        assert above["returns_of_seeds"] == f"{-310 - below} {-310 - below}"
        assert lines["maesn", "5"]["return_difference"] == ""
        # with the maesn of the same reward
        assert numbers(lines["scratch", "100"], *DIFFERENCE) == pytest.approx([-40 + below] * 3)
        assert lines["scratch", "100"]["return_0"] == ""
        assert numbers(lines["best-skill-tried", ""], *DIFFERENCE) == pytest.approx(
            [60 + below] * 3
        )
    said = capsys.readouterr().out
    assert "Meta-trained with the sparse reward: beside maesn at 5" in said
    assert "runs/ablation/dense-table.csv\n" in said
    assert max(map(len, said.splitlines())) <= WIDTH
    assert "…" not in said
    cells = [[c.strip() for c in line.split("│")] for line in said.splitlines()]
    line = table(out / "dense-table.csv")["hmrl-skills", "5"]
    of_tasks = "{:.0f} .. {:.0f}".format(*numbers(line, "return_low", "return_high"))
    returns = ["-310", of_tasks, "-310 -310", "-400", "-382", "-310", "4M + 20M", "30"]
    assert ["", "hmrl-skills", "5", *returns, ""] in cells
    of_tasks = "{:.0%} .. {:.0%}".format(*numbers(line, "success_low", "success_high"))
    beside = ["48%", of_tasks, "+50", "+50 .. +50", "+8%", "+8% .. +8%"]
    assert ["", "hmrl-skills", "5", *beside, ""] in cells


def test_what_a_row_costs(trained):
    """Steps of one seed, minutes of all: the seeds' skills one after the other, then their run."""
    assert ablation.main(["--reward=sparse"]) == 0
    lines = table(trained / "runs/ablation/sparse-table.csv")
    costs = {
        name: [lines[name, "5"][column] for column in ("meta_training_steps", "skill_steps")]
        for name in ROWS
    }
    assert costs["hmrl-skills"] == ["20000000", "4000000"]
    assert costs["hmrl-random"] == costs["maesn"] == ["24000000", "0"]
    assert costs["scratch"] == ["0", "0"]
    minutes = {key: line["minutes"] for key, line in lines.items()}
    assert minutes["maesn", "5"] == "20.0"
    assert minutes["hmrl-skills", "5"] == "35.0"
    assert minutes["best-skill", ""] == minutes["diayn-scratch", "5"] == "15.0"
    assert minutes["scratch", "5"] == ""
    assert lines["best-skill", ""]["skill_steps"] == "4000000"


def test_variants_are_beside_what_they_vary(trained, capsys):
    flags = ["--variants", "--reward=dense", "--seeds=2", "--out=there"]
    assert ablation.main(flags) == 0
    lines = table(trained / "there/dense-variants-table.csv")
    names = ["maesn", "hmrl-latent", "hmrl-skills", *VARIANTS]
    assert set(lines) == {("doing-nothing", ""), *((name, "5") for name in names)}
    assert lines["hmrl-skills", "5"]["seeds"] == "2"
    assert lines["hmrl-skills-c5", "5"]["seeds"] == "1"
    above = 10.0 * (ORDER.index("hmrl-skills-c5") - ORDER.index("maesn"))
    assert numbers(lines["hmrl-skills-c5", "5"], *DIFFERENCE) == pytest.approx([above] * 3)
    assert (trained / "there/dense-variants.png").exists()
    assert "hmrl-latent-beta0.01" in capsys.readouterr().out


def test_without_the_reference_there_is_nothing_to_compare_with(trained):
    assert ablation.main(["--methods", "rnd", "hmrl-skills", "--reward=dense", "--seeds=1"]) == 0
    lines = table(trained / "runs/ablation/dense-table.csv")
    assert {line["return_difference"] for line in lines.values()} == {""}


def test_skills_of_other_tasks_are_refused(trained, monkeypatch):
    wanted = skill_runs(1)
    fabricate(wanted)
    write_skills(RunDirectory.open(next(iter(wanted))), num_tasks=7)
    fabricate(dict([run_of("maesn", "dense", 1)]))
    monkeypatch.setattr(ablation, "train_missing", lambda _: None)
    flags = ["--methods", "maesn", "best-skill", "--reward=dense", "--seeds=1"]
    with pytest.raises(UsageError, match=r"push-diayn-seed0.*num_tasks 7"):
        ablation.main(flags)
    assert not (trained / "runs/ablation/dense.png").exists()
