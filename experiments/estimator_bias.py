"""Bias and variance of the inner surrogates' meta-gradients on a tabular MDP.

``python experiments/estimator_bias.py``. Exit codes: 0 done, 2 wrong flags.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cli import parse, run_main
from csv_files import write_csv
from explorax.config import require


@dataclass(frozen=True)
class BiasConfig:
    """Draw many meta-gradients per surrogate and compare them with the exact one."""

    num_episodes: int = 20
    """Episodes K per inner gradient."""
    inner_lr: float = 2.0
    """alpha of the inner step."""
    num_samples: int = 100_000
    """Meta-gradients per surrogate."""
    seed: int = 0
    """Of the episodes."""
    out: Path = Path("runs/estimator_bias.csv")
    """The CSV to write."""

    def __post_init__(self):
        require(self.num_episodes >= 1, "num_episodes", "must be at least 1")
        require(self.inner_lr > 0, "inner_lr", "must be positive")
        require(self.num_samples >= 2, "num_samples", "must be at least 2")


def measure(config: BiasConfig) -> list[dict[str, Any]]:
    """A row per surrogate; norms are Euclidean over the four logits."""
    import jax
    import jax.numpy as jnp

    import tabular
    from explorax.estimators import SURROGATES

    theta = jnp.asarray(tabular.THETA)
    exact = tabular.exact_meta_gradient(theta, config.inner_lr)
    shape = (config.num_samples, config.num_episodes)
    drawn = jax.random.categorical(
        jax.random.key(config.seed), jnp.log(tabular.probs(theta)), shape=shape
    )
    counts = jax.vmap(partial(jnp.bincount, length=len(tabular.ALL.reward)))(drawn)
    rows = []
    for estimator in SURROGATES:
        one = partial(tabular.sampled_meta_gradient, estimator, theta, config.inner_lr)
        error = jax.jit(jax.vmap(one))(counts[:, None].astype(theta.dtype)) - exact
        many = one(tabular.probs(theta)[None])
        variance = jnp.sum(jnp.var(error, axis=0))
        rows.append(
            {
                "estimator": estimator,
                "bias": jnp.linalg.norm(jnp.mean(error, axis=0)),
                "bias_standard_error": jnp.sqrt(variance / config.num_samples),
                "deviation": jnp.sqrt(variance),
                # emaml's credit is a covariance between episodes: no mean of them shows it
                "bias_of_infinitely_many_episodes": (
                    "-" if estimator == "emaml" else jnp.linalg.norm(many - exact)
                ),
                "norm_of_exact": jnp.linalg.norm(exact),
            }
        )
    return [
        {k: v if isinstance(v, str) else round(float(v), 5) for k, v in r.items()} for r in rows
    ]


def main(argv: Sequence[str]) -> int:
    """Measures, prints a table and writes it."""
    config = parse(BiasConfig, argv)
    import jax
    from rich.console import Console
    from rich.table import Table

    jax.config.update("jax_enable_x64", True)
    rows = measure(config)
    table = Table(title=f"Meta-gradients of {config.num_episodes} episodes")
    for name in rows[0]:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    write_csv(config.out, rows)
    print(config.out)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
