"""Makes a Weights & Biases sweep of a spec: ``python experiments/wandb_sweep.py SPEC.yaml``.

Its agents (``make wandb-agent``) start experiments/train.py on as many machines as there are. W&B
compares the returns after adaptation on training tasks, which it has while runs go on; of their
meta-test it hears at the end. Seeds are one more field to it, tpe is its own Bayesian search, and
vmap is ignored: its agents know of one run per program.
Exit codes: 0 done, 1 W&B refuses, 2 wrong spec or flags.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro
import yaml

from child_runs import changed_flags
from cli import parse, run_main
from errors import RunError, UsageError
from explorax.config import require
from presets import PRESETS
from sweeping.settings import config_of, first_runs
from sweeping.spec import Choices, Domain, Method, SweepSpec, read_spec

METHODS: dict[Method, str] = {"grid": "grid", "random": "random", "tpe": "bayes"}


@dataclass(frozen=True)
class WandbSweepConfig:
    """Make a Weights & Biases sweep of a spec."""

    spec: tyro.conf.Positional[Path]
    """The YAML file that says what is varied; see experiments/sweeps."""
    dry_run: bool = False
    """Only print what W&B would be sent."""


def wandb_config(spec: SweepSpec) -> dict[str, Any]:
    """A spec as W&B has it.

    Raises:
      ValueError: ``field: expectation``, where agents cannot pass on what it asks for.
    """
    # What is fixed goes into the command: agents cannot write a switch or a list as flags are.
    online = replace(spec, set={**spec.set, "wandb.mode": "online"})
    flags = changed_flags(config_of(online, {}, PRESETS[spec.preset].seed))
    parameters = {name: _parameter(f"fields.{name}", d) for name, d in spec.fields.items()}
    config = {
        "program": "experiments/train.py",
        "method": METHODS[spec.method],
        "metric": {"name": "return_post", "goal": "maximize"},
        "parameters": parameters | {"seed": {"values": list(spec.seeds)}},
        "command": [
            *("${env}", "${interpreter}", "${program}"),
            *(f"--preset={spec.preset}", *flags, "${args}"),
        ],
    }
    if spec.num_runs is not None:
        config["run_cap"] = spec.num_runs * len(spec.seeds)
    return config


def _parameter(name: str, domain: Domain) -> dict[str, Any]:
    """A varied field."""
    if isinstance(domain, Choices):
        for value in domain.values:
            plain = isinstance(value, str | int | float) and not isinstance(value, bool)
            require(plain, name, f"{value!r} is nothing that W&B agents can write as a flag")
        return {"values": list(domain.values)}
    distribution = "log_uniform_values" if domain.log else "uniform"
    found: dict[str, Any] = {"min": domain.low, "max": domain.high}
    if domain.int:
        distribution = "q_log_uniform_values" if domain.log else "int_uniform"
        found |= {"q": 1} if domain.log else {}
    return found | {"distribution": distribution}


def main(argv: Sequence[str]) -> int:
    """Makes the sweep that the flags name."""
    asked = parse(WandbSweepConfig, argv)
    spec = read_spec(asked.spec)
    alone = replace(spec, vmap=())
    try:
        runs = first_runs(alone)
        content, project = wandb_config(alone), runs[0].config.wandb.project
    except ValueError as error:
        raise UsageError(f"{asked.spec}: {error}") from error
    if spec.vmap:
        why = "W&B's agents run every setting and seed as a program of its own"
        print(f"vmap: ignored, {why}", file=sys.stderr)
    print(yaml.safe_dump(content, sort_keys=False), end="")
    if not asked.dry_run:
        print(f"make wandb-agent SWEEP={project}/{_create(content, project)}")
    return 0


def _create(content: dict[str, Any], project: str) -> str:
    """Tells W&B of the sweep, which answers with its id.

    Raises:
      UsageError: no key is set.
      RunError: W&B does not take it.
    """
    import wandb  # slow to import

    try:
        if not wandb.login(prompt=False):
            raise UsageError("W&B: no API key is set; `wandb login` sets it, --dry-run needs none")
        return wandb.sweep(content, project=project)
    except wandb.Error as error:
        raise RunError(f"W&B: {' '.join(str(error).split())}") from error


if __name__ == "__main__":
    sys.exit(run_main(main))
