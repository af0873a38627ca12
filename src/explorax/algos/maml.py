"""MAML-RL: theta itself is adapted (Finn et al. 2017, arXiv 1703.03400, algorithm 3).

    theta_i' = theta + alpha grad_theta J_i(theta),   max over theta of sum_i J_i(theta_i')

Where to read it:
  inner surrogates                 estimators, adapt.policy_objective
  inner step                       adapt.inner_step
  outer objective                  outer.task_loss (the meta-gradient goes through the inner step)
"""

from typing import Any

from explorax.config import MetaConfig


def maml(**overrides: Any) -> MetaConfig:
    """A policy without a latent whose parameters adapt, alpha fixed; see MetaConfig's fields."""
    settings = {
        "adapt": "params",
        "latent_dim": 0,
        "kl_coef": 0.0,
        "inner_lr_params": 1.0,
        "learn_inner_lr": False,
    }
    return MetaConfig(**{**settings, **overrides})
