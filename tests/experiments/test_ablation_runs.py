"""Which runs the ablation is made of: as many steps for all, and the figure's where it has them."""

from pathlib import Path

import pytest

import ablation
import suite_runs
import train
from ablation_runs import (
    BEST_SKILL,
    ENV_STEPS,
    NAMES,
    ROWS,
    VARIANTS,
    config_of,
    run_of,
    skill_runs,
    steps_of_meta_training,
    steps_of_skills,
)
from child_runs import changed_flags
from cli import parse
from config_json import flatten, settings_id, to_json
from presets import PRESETS

REWARDS = ("dense", "sparse")
ALONE = {"scratch", "rnd", "diayn-scratch"}
RUNS = [name for name in NAMES if name != BEST_SKILL]
OF_SKILLS = {"diayn-scratch", "diayn-maml", "hmrl-skills"}


@pytest.mark.parametrize("reward", REWARDS)
@pytest.mark.parametrize("name", RUNS)
def test_every_row_takes_as_many_steps_those_of_its_skills_counted(name, reward):
    config = config_of(name, reward, 3)
    has_skills = name in OF_SKILLS or name.startswith("hmrl-skills-")
    of_skills = {"hmrl-distilled": 4_400_000}.get(name, 4_000_000 if has_skills else 0)
    assert steps_of_skills(config) == of_skills
    if name in ALONE:
        assert steps_of_meta_training(config) == 0
        assert config.metatest.num_iterations == 100
    else:
        left = ENV_STEPS - of_skills - steps_of_meta_training(config)
        assert 0 <= left < config.meta.steps_per_update(100)
        assert left == 0 or name == "hmrl-distilled"
        assert config.metatest.num_iterations == 10
    assert (config.num_seeds, config.seed, config.metatest.num_tasks) == (3, 0, 100)


@pytest.mark.parametrize("name", RUNS)
def test_the_reward_is_all_that_differs_and_only_where_there_is_meta_training(name):
    dense, sparse = (run_of(name, reward, 3) for reward in REWARDS)
    assert dense.config.env.reward == "dense"
    if name in ALONE:
        assert sparse == dense
        return
    assert _differences(dense.config, sparse.config) == {"env.reward": "sparse"}
    assert dense.path != sparse.path


def _differences(one, other):
    before = flatten(to_json(one))
    return {k: v for k, v in flatten(to_json(other)).items() if v != before[k]}


@pytest.mark.parametrize("seeds", [1, 3])
def test_runs_that_are_the_figures_are_found_where_it_keeps_them(seeds):
    for config in suite_runs.configs("push", "small", seeds):
        name = config.preset.removeprefix("push-")
        if name == "rl2":
            continue
        run = run_of(name, "dense", seeds, Path("elsewhere"))
        assert run.path == Path(f"runs/figure/push-small-{seeds}seeds/{config.preset}")
        assert settings_id(run.config) == settings_id(config)
        assert (run.config.seed, run.config.num_seeds) == (config.seed, config.num_seeds)
    assert run_of("maesn", "sparse", seeds).path == Path(
        f"runs/ablation/push-sparse-{seeds}seeds/maesn"
    )
    assert run_of("diayn-scratch", "sparse", seeds).path == Path(
        f"runs/ablation/push-either-{seeds}seeds/diayn-scratch"
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_differs_from_its_row_in_the_fields_that_it_names(name):
    row, fields = VARIANTS[name]
    assert name.startswith(row)
    assert _differences(config_of(row), config_of(name)) == fields


@pytest.mark.parametrize("name", RUNS)
def test_a_row_is_its_preset_at_as_many_steps(name):
    """Untrained skills take no steps: their controller has all of them."""
    row, fields = VARIANTS.get(name, (name, {}))
    usual = {"train.num_iterations", "meta.ppo.decay_iterations"}
    found = _differences(PRESETS[ROWS[row]], config_of(name))
    assert found.keys() - usual == fields.keys()
    if row.startswith(("hmrl", "diayn")):
        expected = {"train.num_iterations": 150} if row == "hmrl-random" else {}
        assert found == expected | fields


@pytest.mark.parametrize("name", RUNS)
def test_the_flags_of_a_row_make_it(name):
    config = config_of(name, "sparse", 2)
    flags = [f"--preset={config.preset}", *changed_flags(config)]
    assert train.parse_train(flags) == config


def test_all_that_is_asked_for_is_trained_once():
    def paths(*flags):
        return [str(path) for path in ablation.wanted_runs(parse(ablation.AblationConfig, flags))]

    everything = paths("--reward=both")
    assert len(everything) == 3 + len(ALONE) + 2 * (len(ROWS) - len(ALONE))
    assert len(paths()) == 3 + len(ROWS), "the sparse reward is the usual one"
    assert everything[:3] == [f"runs/skills/push-diayn-seed{seed}" for seed in range(3)]
    for name in RUNS:
        of_row = ["runs/ablation/" in p and p.endswith(f"/{name}") for p in everything]
        assert sum(of_row) <= 2
    assert paths("--methods", "maesn", "rnd", "--reward=sparse", "--runs=here") == [
        "here/push-sparse-3seeds/maesn",
        "runs/figure/push-small-3seeds/push-rnd",
    ]
    variants = paths("--variants", "--reward=dense")
    assert len(variants) == 3 + len(VARIANTS)
    assert "runs/ablation/push-dense-3seeds/hmrl-skills" in variants
    assert "runs/ablation/push-dense-1seeds/hmrl-skills-c5" in variants


def test_the_best_skills_are_those_of_the_hierarchy():
    wanted = skill_runs(2)
    assert [(str(path), config.preset, config.seed) for path, config in wanted.items()] == [
        ("runs/skills/push-diayn-seed0", "push-diayn", 0),
        ("runs/skills/push-diayn-seed1", "push-diayn", 1),
    ]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("--methods maesn diayn", ("methods", "'diayn'", "hmrl-skills-c5")),
        ("--methods best-skill", ("methods", "curve")),
        ("--methods", ("methods", "at least one")),
        ("--methods maesn --variants", ("variants", "--methods")),
        ("--seeds 0", ("seeds",)),
        ("--variant-seeds 0", ("variant_seeds",)),
        ("--reward none", ("reward",)),
    ],
)
def test_flags_that_make_no_sense_are_refused(refused, flags, named):
    refused(ablation.main, flags.split(), *named)
