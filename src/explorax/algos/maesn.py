"""MAESN: meta-learned structured exploration (Gupta et al. 2018, arXiv 1802.07245).

Each training task i owns a latent distribution N(mu_i, sigma_i); z is drawn once per episode, so
exploration is coherent over the whole of it. Maximised over theta, mu_i, sigma_i and alpha:

    sum_i E[return of task i after the inner step] - w KL(N(mu_i, sigma_i) || N(0, I))

Where to read it:
  z once per episode               rollout.begin_episode
  inner step on mu, sigma (2, 3)   adapt.latent_objective, adapt.inner_step
  outer objective (5)              outer.task_loss
  meta-test from the prior         meta_update.adapt_from_prior, meta_test_step_sizes
"""

from typing import Any

from explorax.config import MetaConfig


def maesn(**overrides: Any) -> MetaConfig:
    """One inner step on the latents alone, and trpo outside; see MetaConfig's fields.

    The other defaults are ours, those that did best on Push: alpha 3 for mu, mu ~ N(0, 0.1^2),
    w = 0.05. The paper's are in experiments/presets.py (push-maesn-paper): 1, N(0, 1) and 0.1.
    """
    return MetaConfig(**{"optimizer": "trpo", **overrides})
