"""What a sweep's spec says, and how nonsense in it is refused."""

import json
from pathlib import Path

import pytest

import sweep
import train
from fake_sweeps import SPEC, write_spec
from presets import PRESETS
from sweeping.settings import config_of, first_runs, listed
from sweeping.spec import Metric, content_of, read_spec, spec_from

ROOT = Path(__file__).parents[2]
KL = "meta.kl_coef"


def fields(**domains):
    return {"fields": {name.replace("__", "."): domain for name, domain in domains.items()}}


def random(domain, name=KL):
    return {"method": "random", "num_runs": 2, "fields": {name: domain}}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"preset": "push"}, ["preset: ", "push-maesn", "'push'"]),
        ({"preset": "push-diayn"}, ["preset: "]),
        ({"methods": "grid"}, ["methods: ", "method"]),
        ({"method": "bayes"}, ["method: ", "tpe"]),
        ({"num_runs": 3}, ["num_runs: ", "grid"]),
        ({"method": "random"}, ["num_runs: "]),
        ({"seeds": 0}, ["seeds: "]),
        ({"seeds": [0, 0]}, ["seeds: "]),
        ({"seeds": [0.5]}, ["seeds: "]),
        ({"seeds": [-1]}, ["seeds: "]),
        ({"seeds": [2**31]}, ["seed: "]),
        ({"seeds": [0, 2], "vmap": ["seed"]}, ["seeds: ", "consecutive", "[0, 2]"]),
        ({"vmap": ["meta.discount"]}, ["vmap: ", "meta.discount", KL]),
        ({"vmap": [KL, KL]}, ["vmap: ", KL, "twice"]),
        (
            fields(meta__num_episodes=[4, 8]) | {"vmap": ["meta.num_episodes"]},
            ["vmap: ", "episodes"],
        ),
        (random({"low": 0, "high": 1}) | {"method": "tpe", "vmap": [KL]}, ["vmap: ", KL, "tpe"]),
        ({"vmap": "seed"}, ["vmap: "]),
        ({"metric": "return"}, ["metric: ", "return@best"]),
        ({"metric": "return@11"}, ["metric: ", "metatest.num_iterations"]),
        ({"set": {"metatest.num_iterations": 4}}, ["metric: ", "metatest.num_iterations"]),
        ({"search_seed": 0.5}, ["search_seed: "]),
        ({"fields": {}}, ["fields: "]),
        ({"fields": [KL]}, ["fields: "]),
        (fields(meta__kl_coeff=[1]), ["fields.meta.kl_coeff: ", f"meant {KL}"]),
        ({"fields": {"meta.kl-coef": [1]}}, ["fields.meta.kl-coef: ", f"meant {KL}"]),
        (fields(meta=[1]), ["fields.meta: "]),
        (fields(seed=[1]), ["fields.seed: "]),
        (fields(wandb__mode=["offline"]), ["fields.wandb.mode: "]),
        (fields(run_dir=["here"]), ["fields.run_dir: "]),
        (fields(meta__kl_coef=[]), [f"fields.{KL}: ", "at least one"]),
        (fields(meta__kl_coef=[0.1, 0.1]), [f"fields.{KL}: ", "twice"]),
        (fields(meta__kl_coef=0.1), [f"fields.{KL}: ", "list"]),
        (fields(meta__kl_coef=["high"]), [f"{KL}: ", "'high'"]),
        (fields(meta__kl_coef=[0.1, -1]), [f"{KL}: ", "negative"]),
        (fields(meta__ppo__learning_rate=[0]), ["meta.ppo.learning_rate: ", "positive"]),
        (fields(meta__num_episodes=[4, 4.5]), ["meta.num_episodes: ", "int"]),
        (fields(env__name=["point", "chess"]), ["env.name: ", "chess"]),
        ({"set": {KL: 0.2}}, [f"set.{KL}: ", "fields"]),
        ({"set": {"num_seeds": 2}}, ["set.num_seeds: "]),
        ({"set": {"meta.latent_dims": 2}}, ["set.meta.latent_dims: ", "meta.latent_dim"]),
        ({"set": {"meta.latent_dim": 0}}, ["meta.adapt: "]),
        (fields(meta__kl_coef={"low": 0, "high": 1}), [f"fields.{KL}: ", "grid"]),
        (random({"low": 0}), [f"fields.{KL}.high: "]),
        (random({"low": 1, "high": 0}), [f"fields.{KL}.low: ", "below"]),
        (random({"low": 0, "high": 1, "log": True}), [f"fields.{KL}.low: ", "positive"]),
        (random({"low": 0, "high": 1, "step": 1}), [f"fields.{KL}.step: "]),
        (random({"low": "a", "high": 1}), [f"fields.{KL}.low: ", "'a'"]),
        (random({"low": 0, "high": 1, "log": "yes"}), [f"fields.{KL}.log: "]),
        (random({"low": 0.5, "high": 2, "int": True}), [f"fields.{KL}.low: ", "whole"]),
        (random({"low": -1, "high": 1e-9}), [f"{KL}: "]),
        (random({"low": 2, "high": 4}, "meta.num_episodes"), ["meta.num_episodes: ", "int: true"]),
        (random({"low": 0, "high": 1}, "meta.optimizer"), ["fields.meta.optimizer: "]),
        (random([0.1]), ["num_runs: ", "1"]),
        (random({"low": -1, "high": 1}) | {"method": "tpe"}, [f"{KL}: ", "negative"]),
    ],
)
def test_nonsense_is_refused_before_anything_starts(refused, tmp_path, change, names):
    spec = write_spec(tmp_path / "wrong.yaml", SPEC | change)
    refused(sweep.main, [spec], "wrong.yaml", *names)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("preset: [", "line 1"),
        ("just words", "mapping"),
        ("preset: point-maesn", "fields: is missing"),
        ("preset: point-maesn\nfields:\n  meta.kl_coef: [1]\n  meta.kl_coef: [2]", "twice"),
    ],
)
def test_files_that_are_no_spec(refused, tmp_path, text, named):
    (tmp_path / "wrong.yaml").write_text(text)
    refused(sweep.main, ["wrong.yaml"], "wrong.yaml", named)
    refused(sweep.main, ["nowhere.yaml"], "nowhere.yaml")


def test_where_runs_are_logged_may_be_set():
    logged = {"wandb.mode": "offline", "tensorboard": True}
    runs = first_runs(spec_from(SPEC | {"set": SPEC["set"] | logged}))
    assert all(run.config.tensorboard for run in runs)
    assert [run.id for run in runs] == [run.id for run in first_runs(spec_from(SPEC))]


def test_wrong_flags(refused, tmp_path):
    spec = write_spec(tmp_path / "right.yaml", SPEC)
    refused(sweep.main, [spec, "--jobs=0"], "jobs: ")
    refused(sweep.main, [spec, "--job=2"], "--job")
    refused(sweep.main, [write_spec(tmp_path / "...yaml", SPEC)], "spec: ", "'..'")


def test_numbers_with_an_exponent_are_numbers(tmp_path):
    """In YAML 1.1 they need a point."""
    (tmp_path / "spec.yaml").write_text(
        "preset: point-maesn\nfields:\n  meta.kl_coef: [1e-3, -2E+1, 1.5e-2]\n"
        "  meta.optimizer: [ppo, promp]\n"
    )
    spec = read_spec(tmp_path / "spec.yaml")
    assert spec.fields[KL].values == (1e-3, -20.0, 0.015)
    assert spec.fields["meta.optimizer"].values == ("ppo", "promp")


@pytest.mark.parametrize("file", sorted((ROOT / "experiments/sweeps").glob("*.yaml")))
def test_the_specs_that_are_there(file):
    spec = read_spec(file)
    runs = first_runs(spec)
    assert len({run.id for run in runs}) == len(runs)
    assert sum(len(run.settings) for run in runs) > 1
    assert spec_from(json.loads(json.dumps(content_of(spec)))) == spec
    for run in runs:
        assert train.parse_train(run.to_json()[0]["flags"]) == run.config


def test_what_cannot_differ_within_a_program_is_refused(refused, tmp_path):
    name = "meta.ppo.entropy_max_std"
    spec = write_spec(tmp_path / "wrong.yaml", SPEC | fields(**{name: [1, 2]}) | {"vmap": [name]})
    refused(sweep.main, [spec], "wrong.yaml: vmap: ", name)


def test_settings_of_one_program_have_its_other_fields_in_common():
    fields = {"meta.inner_lr_mean": [1, 3], "meta.num_episodes": [4, 8], KL: [0.1, 0.5]}
    content = SPEC | {"fields": fields, "vmap": [KL, "meta.inner_lr_mean"]}
    runs = first_runs(spec_from(content))
    assert [run.seeds for run in runs] == [range(1), range(1, 2)] * 2
    assert runs[0].config.vary == (
        "meta.inner_lr_mean=1.0,meta.kl_coef=0.1",
        "meta.inner_lr_mean=1.0,meta.kl_coef=0.5",
        "meta.inner_lr_mean=3.0,meta.kl_coef=0.1",
        "meta.inner_lr_mean=3.0,meta.kl_coef=0.5",
    )
    assert [run.config.meta.num_episodes for run in runs] == [4, 4, 8, 8]
    alone = first_runs(spec_from(content | {"vmap": []}))
    of_settings = lambda runs: {line["settings_id"] for r in runs for line in r.to_json()}  # noqa: E731
    assert of_settings(runs) == of_settings(alone)
    fewer = first_runs(spec_from(content | {"fields": fields | {KL: [0.1]}}))
    assert not {run.id for run in fewer} & {run.id for run in runs}


def test_settings_differ_from_the_preset_in_what_is_asked_for():
    spec = spec_from(SPEC | {"fields": {"meta.hidden_sizes": [[8], [8, 8]]}})
    config = config_of(spec, {"meta.hidden_sizes": [8, 8]}, seed=7)
    assert (config.meta.hidden_sizes, config.seed) == ((8, 8), 7)
    assert config.train.num_iterations == 4
    assert config.meta.latent_dim == PRESETS["point-maesn"].meta.latent_dim


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("log", [False, True])
def test_random_numbers_fill_their_range(log, whole):
    """On its scale: half of them are below the middle of it."""
    name = "meta.num_episodes" if whole else KL
    domain = {"low": 2, "high": 2_000_000, "log": log, "int": whole}
    spec = spec_from(SPEC | {"method": "random", "num_runs": 200, "fields": {name: domain}})
    found = [setting[name] for setting in listed(spec)]
    assert all(isinstance(value, int if whole else float) for value in found)
    assert all(2 <= value <= 2_000_000 for value in found)
    middle = 2000 if log else 1_000_000
    assert 0.4 < sum(value < middle for value in found) / 200 < 0.6


def test_metrics_are_written_as_they_are_read():
    for text in ("return@5", "success@best", "return@0"):
        assert str(Metric.parse(text)) == text
    assert Metric.parse("success@best") == Metric("success", None)
