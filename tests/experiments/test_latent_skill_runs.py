"""Runs whose latents are skills: stopped, resumed, evaluated; and flags that cannot be."""

import json

import numpy as np
import pytest

import evaluate
import train
from cli import run_main
from explorax.sinks import read_jsonl
from stopped_runs import whole_and_resumed

LEARNED = [
    "--preset=point-hmrl-latent",
    "--hierarchy.latent-skills.schedule=learned",
    "--hierarchy.latent-skills.hidden-sizes=8",
]


@pytest.mark.slow
def test_a_run_of_latent_skills(tiny, tmp_path, monkeypatch):
    """Stopped and resumed it is bit-equal; its discriminator and beta are learned and kept."""
    flags = [*tiny, *LEARNED, "--train.num-iterations=4"]
    whole, stopped = whole_and_resumed(monkeypatch, flags, tmp_path)
    records = read_jsonl(whole / "metrics.jsonl")
    assert records[0]["intrinsic_coef"] == pytest.approx(0.1)
    assert len({record["intrinsic_coef"] for record in records}) == 4
    told = [record["intrinsic_reward_pre"] for record in records]
    assert told[0] == 0.0 and 0.0 not in told[1:]

    sizes = ["--num-iterations=2", "--num-tasks=4", "--episodes=4", f"--out={tmp_path / 'out'}"]
    assert run_main(evaluate.main, [str(stopped), *sizes]) == 0
    paths = (whole / "metatest.json", tmp_path / "out" / "metatest.json")
    returns = [json.loads(path.read_text())["return"]["mean"] for path in paths]
    np.testing.assert_allclose(*returns, rtol=1e-5)


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("--hierarchy.latent-skills.features nose",
         ["hierarchy.latent_skills.features: ", "position", "point", "'nose'"]),
        ("--hierarchy.latent-skills.intrinsic-coef -1",
         ["hierarchy.latent_skills.intrinsic_coef: ", "negative"]),
        ("--meta.num-inner-steps 0", ["meta.num_inner_steps: ", "latents that are skills"]),
        ("--meta.latent-dim 0 --meta.adapt params", ["meta.latent_dim: "]),
        ("--hierarchy.skills-dir x", ["hierarchy.skills_dir: ", "'latent'"]),
    ],
)  # fmt: skip
def test_wrong_flags(refused, flags, names):
    refused(train.main, ["--preset=point-hmrl-latent", *flags.split()], *names)
