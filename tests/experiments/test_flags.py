"""What is wrong with flags and files is said in one line, with exit code 2, and changes nothing."""

import ast
import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cli
import evaluate
import train
from cli import run_main
from config_json import from_json, settings_id, to_json
from presets import PRESETS
from variations import changed

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1, "error: No space left on device"),
        (OSError(errno.ENOSPC, "No space left", "a.png"), 1, "error: a.png: No space left"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), 2, "error: a: Permission denied"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_the_machine_refuses_is_one_line(error, code, said, capsys):
    def main(_):
        raise error

    assert run_main(main, []) == code
    assert capsys.readouterr().err == f"{said}\n"


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("--bogus 1", ["--bogus"]),
        ("--sed 4", ["--sed", "--seed"]),
        ("--meta.kl-coeff=1", ["--meta.kl-coeff", "--meta.kl-coef"]),
        ("stray", ["stray"]),
        ("--preset nothing", ["preset", "nothing", "push-maesn"]),
        ("--preset", ["--preset"]),
        ("--seed", ["--seed"]),
        ("--seed x", ["--seed", "'x'"]),
        ("--seed -1", ["seed: "]),
        ("--env.name chess", ["--env.name", "chess"]),
        ("--env.name point --env.physics exact", ["env.physics: "]),
        ("--preset point-maesn --env.block-shape box", ["env.block_shape: "]),
        ("--meta.num-episodes 1", ["meta.num_episodes: "]),
        ("--meta.meta-batch-size 0", ["meta.meta_batch_size: "]),
        ("--meta.hidden-sizes 0", ["meta.hidden_sizes: "]),
        ("--meta.latent-dim 0", ["meta.adapt: "]),
        ("--meta.latent-dim 65", ["meta.latent_dim: "]),
        ("--meta.latent-dim=-1", ["meta.latent_dim: "]),
        ("--meta.num-inner-steps 11", ["meta.num_inner_steps: "]),
        ("--meta.num-inner-steps=-1", ["meta.num_inner_steps: "]),
        ("--meta.memory-size 8", ["meta.latent_dim: ", "meta.memory_size"]),
        ("--meta.memory-size=-1", ["meta.memory_size: "]),
        ("--preset push-rl2 --meta.optimizer trpo", ["meta.optimizer: ", "meta.memory_size"]),
        ("--preset push-rl2 --meta.test-optimizer ppo", ["meta.test_optimizer: "]),
        ("--preset push-rl2 --meta.estimator dice", ["meta.estimator: "]),
        ("--preset ant-rl2 --meta.gae-lambda 0.9", ["meta.gae_lambda: "]),
        ("--meta.curiosity rnd", ["meta.curiosity: ", "meta.test_optimizer"]),
        ("--preset push-rnd --meta.curiosity counts", ["meta.curiosity: ", "point"]),
        ("--preset push-rnd --meta.curiosity-coef 0", ["meta.curiosity_coef: "]),
        ("--preset push-latent-space --meta.estimator dice", ["meta.estimator: ", "inner_steps"]),
        ("--preset push-latent-space --meta.optimizer promp", ["meta.optimizer: ", "inner_steps"]),
        (
            "--preset push-maml --meta.estimator emaml --meta.meta-batch-size 1",
            ["meta.meta_batch_size: ", "emaml"],
        ),
        ("--num-seeds 0", ["num_seeds: "]),
        ("--num-seeds 3 --seed 2147483646", ["seed: ", "2147483645"]),
        ("--meta.ppo.learning-rate 0", ["meta.ppo.learning_rate: "]),
        ("--meta.trpo.max-kl=-1", ["meta.trpo.max_kl: "]),
        ("--meta.ppo.learning-rate inf", ["meta.ppo.learning_rate: "]),
        ("--meta.ppo.entropy-coef=-0.1", ["meta.ppo.entropy_coef: "]),
        ("--meta.ppo.entropy-max-std 0", ["meta.ppo.entropy_max_std: "]),
        ("--meta.inner-lr-mean nan", ["meta.inner_lr_mean: "]),
        (
            "--meta.optimizer ppo --train.num-iterations 101",
            ["meta.ppo.decay_iterations: ", "101"],
        ),
        ("--train.num-iterations=-1", ["train.num_iterations: "]),
        ("--train.chunk-size 0", ["train.chunk_size: "]),
        ("--train.checkpoint-every=-3", ["train.checkpoint_every: "]),
        ("--train.devices=-1", ["train.devices: "]),
        ("--metatest.num-tasks 0", ["metatest.num_tasks: "]),
        ("--metatest.num-episodes 1", ["metatest.num_episodes: "]),
        (f"--meta.num-episodes 1{'0' * 18}", ["meta.num_episodes: "]),
        ("--meta.num-episodes 1000000", ["meta.num_episodes: ", "steps"]),
        ("--meta.init-action-std 1e-300", ["meta.init_action_std: "]),
        ("--meta.kl-coef 1e300", ["meta.kl_coef: "]),
        (f"--meta.hidden-sizes {'8 ' * 17}", ["meta.hidden_sizes: "]),
        ("--train.checkpoint-every 9223372036854775808", ["train.checkpoint_every: "]),
        ("--metatest.num-tasks 1000000 --metatest.num-episodes 1000", ["metatest.num_episodes: "]),
        ("--wandb.mode sometimes", ["--wandb.mode", "sometimes"]),
        ("--resume", ["run_dir: "]),
        ("--resume --run-dir nowhere", ["nowhere"]),
    ],
)
def test_wrong_flags(refused, flags, names):
    refused(train.main, flags.split(), *names)


def test_a_schedule_that_is_not_used_does_not_end_a_run():
    """push-maesn has ppo's, for those who choose ppo; its own step is trpo."""
    assert PRESETS["push-maesn"].meta.ppo.decay_iterations == 100
    longer = changed(PRESETS["push-maesn"], {"train.num_iterations": 150})
    with pytest.raises(ValueError, match=r"decay_iterations: must be 0"):
        changed(longer, {"meta.optimizer": "promp"})


def test_an_existing_run_is_not_overwritten(refused, tiny, finished):
    refused(train.main, [*tiny, f"--run-dir={finished}"], f"run_dir: {finished}", "--resume")


def test_a_file_is_no_run_directory(refused, tiny, tmp_path):
    (tmp_path / "file").write_text("mine")
    refused(train.main, [*tiny, "--run-dir=file"], "run_dir: file")
    refused(train.main, ["--resume", "--run-dir=file"], "file")
    refused(train.main, [*tiny, "--run-dir=file/below"], "run_dir: file/below")


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        ("--seed=1", "seed: "),
        ("--num-seeds=2", "num_seeds: "),
        ("--preset=push-maesn", "preset: "),
        ("--meta.kl-coef=0.25", "meta.kl_coef: "),
        ("--meta.hidden-sizes=9", "meta.hidden_sizes: "),
        ("--train.checkpoint-every=4", "train.checkpoint_every: "),
        ("--train.num-iterations=5", "train.num_iterations: 5"),
    ],
)
def test_a_resumed_run_cannot_be_told_something_else(refused, finished, flag, name):
    refused(train.main, ["--resume", f"--run-dir={finished}", flag], name, finished)


def edit(file: Path, change) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda c: c["config"]["meta"].update(kl_coef="high"), ["meta.kl_coef: "]),
        (lambda c: c["config"]["meta"].update(kl_coef=10**400), ["meta.kl_coef: "]),
        (lambda c: c["config"]["meta"].update(kl_coef=-1), ["meta.kl_coef: "]),
        (lambda c: c["config"]["meta"].update(colour=1), ["meta.colour: "]),
        (lambda c: c["config"].update(env="push"), ["env: "]),
        (lambda c: c["config"].update(seed=1.5), ["seed: "]),
        (lambda c: c["config"]["env"].update(name="chess"), ["env.name: "]),
        (lambda c: c["config"]["meta"].update(hidden_sizes=8), ["meta.hidden_sizes: "]),
        (lambda c: c.pop("config"), ["config"]),
        (lambda c: c.update(format=99), ["format"]),
        (lambda c: c.update(run_id=3), ["run_id: "]),
    ],
)
def test_a_broken_config(refused, finished, change, names):
    edit(finished / "config.json", change)
    file = finished / "config.json"
    refused(train.main, ["--resume", f"--run-dir={finished}"], file, *names)
    refused(evaluate.main, [finished], file, *names)


@pytest.mark.parametrize("name", ["../x", "..", "", "a/b", "/x", "a\0"])
def test_a_runs_id_stays_in_its_directory(refused, finished, name):
    """W&B's files are named by it."""
    edit(finished / "config.json", lambda c: c.update(run_id=name))
    flags = ["--resume", f"--run-dir={finished}", "--train.num-iterations=7"]
    flags.append("--wandb.mode=offline")
    refused(train.main, flags, f"{finished / 'config.json'}: run_id: ", repr(name))


def test_an_edited_config_does_not_fit_its_checkpoint(refused, finished):
    edit(finished / "config.json", lambda c: c["config"]["meta"].update(discount=0.5))
    path = finished / "checkpoints" / "6"
    refused(train.main, ["--resume", f"--run-dir={finished}"], "meta.discount: ", path)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", pytest.param("[" * 100_000, id="deep")])
def test_a_config_that_is_none(refused, finished, content):
    (finished / "config.json").write_text(content)
    refused(train.main, ["--resume", f"--run-dir={finished}"], finished / "config.json")
    refused(evaluate.main, [finished], finished / "config.json")


def test_broken_metrics(refused, finished):
    lines = (finished / "metrics.jsonl").read_text().splitlines()
    (finished / "metrics.jsonl").write_text("\n".join(["junk", *lines]) + "\n")
    flags = ["--resume", f"--run-dir={finished}"]
    refused(train.main, flags, finished / "metrics.jsonl", "line 1")


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ([], ["PATH"]),
        (["nowhere"], ["nowhere"]),
        (["RUN", "--episodes=1"], ["episodes: "]),
        (["RUN", "--num-iterations=0"], ["num_iterations: "]),
        (["RUN", "--num-task=1"], ["--num-task"]),
        (["RUN", "--tasks=missing.npz"], ["tasks: missing.npz"]),
        (["RUN", "--tasks=bad.npz"], ["tasks: bad.npz", "suite"]),
    ],
)
def test_evaluate_refuses(refused, finished, tmp_path, flags, names):
    np.savez(tmp_path / "bad.npz", block=np.zeros(3))
    refused(evaluate.main, [finished if flag == "RUN" else flag for flag in flags], *names)


def test_evaluate_refuses_bad_task_files_for_push(refused, finished, tmp_path):
    edit(finished / "config.json", lambda c: c["config"]["env"].update(name="push"))
    np.savez(tmp_path / "bad.npz", suite="push", block=np.zeros(3))
    refused(evaluate.main, [finished, "--tasks=bad.npz"], "tasks: bad.npz", "goal")
    np.savez(tmp_path / "other.npz", suite="wheeled", goal=np.zeros((3, 2)))
    refused(evaluate.main, [finished, "--tasks=other.npz"], "other.npz", "wheeled", "push")
    (tmp_path / "text.npz").write_text("tasks")
    refused(evaluate.main, [finished, "--tasks=text.npz"], "tasks: text.npz")


def test_evaluate_refuses_the_tasks_of_a_suite_with_the_same_fields(refused, finished, tmp_path):
    """Goals of Wheeled would do for Ant."""
    edit(finished / "config.json", lambda c: c["config"]["env"].update(name="ant"))
    np.savez(tmp_path / "wheeled.npz", suite="wheeled", goal=np.ones((3, 2)))
    said = "holds tasks of 'wheeled', not of 'ant'"
    refused(evaluate.main, [finished, "--tasks=wheeled.npz"], f"tasks: wheeled.npz: {said}")


def test_evaluate_does_not_overwrite_another_runs_results(refused, finished, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "metatest.json").write_text('{"run_id": "another"}')
    refused(evaluate.main, [finished, "--out=other"], "out: other/metatest.json")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    config = PRESETS[name]
    assert config.preset == name
    assert from_json(json.loads(json.dumps(to_json(config)))) == config


def test_a_field_that_an_older_version_did_not_write_is_named():
    """Its default may have changed, and a resumed run would not be the same any more."""
    values = json.loads(json.dumps(to_json(train.parse_train([]))))
    del values["meta"]["ppo"]["entropy_max_std"]
    with pytest.raises(ValueError, match=r"^meta\.ppo\.entropy_max_std: is missing"):
        from_json(values)


def test_settings_without_seed_and_logging_tell_runs_apart():
    plain, seed, other = (
        settings_id(train.parse_train(flags))
        for flags in ([], ["--seed=3", "--wandb.mode=offline"], ["--meta.kl-coef=1"])
    )
    assert plain == seed != other


@pytest.mark.parametrize("flags", [["--preset", "push-maml"], ["--preset=push-maml"]])
def test_flags_override_the_preset(flags):
    config = cli.parse_train([*flags, "--meta.discount=0.5", "--train.num_iterations", "7"])
    assert (config.meta.adapt, config.meta.latent_dim) == ("params", 0)
    assert (config.meta.discount, config.train.num_iterations) == (0.5, 7)


@pytest.mark.parametrize("name", PRESETS)
def test_help_lists_every_flag_with_the_presets_values(name, capsys):
    with pytest.raises(SystemExit) as stop:
        run_main(train.main, ["--preset", name, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for flag in ("--seed", "--run-dir", "--resume", "--meta.ppo.num-epochs", "--wandb.mode"):
        assert flag in text
    assert f"(default: {name})" in " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize(
    "file", ["experiments/config.py", "experiments/evaluate.py", "src/explorax/config.py"]
)
def test_every_field_has_help(file):
    """tyro takes it from the string below the field."""
    classes = [n for n in ast.parse((ROOT / file).read_text()).body if isinstance(n, ast.ClassDef)]
    fields = 0
    for definition in classes:
        for node, following in zip(definition.body, [*definition.body[1:], None], strict=True):
            if isinstance(node, ast.AnnAssign):
                fields += 1
                assert isinstance(following, ast.Expr), f"{definition.name}: {ast.unparse(node)}"
                assert isinstance(following.value, ast.Constant)
    assert fields >= 6


def test_wrong_flags_do_not_wait_for_jax():
    """Its import takes seconds."""
    code = (
        "import sys; sys.path.insert(0, 'experiments'); import train; from cli import run_main\n"
        "assert run_main(train.main, ['--bogus']) == 2\n"
        "heavy = {'jax', 'orbax', 'wandb', 'mujoco', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
