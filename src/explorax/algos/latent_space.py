"""LatentSpace: MAESN's baseline without a meta-gradient (Gupta et al. 2018, section 5).

Tasks own latent distributions and theta is shared, as in MAESN, but nothing is adapted during
meta-training: the outer step sees the episodes of N(mu_i, sigma_i) themselves. At meta-test the
latents adapt with step size 1 (meta_update.meta_test_start).

mu_i ~ N(0, 1) at the start, as in the paper: theta has to be able to tell the tasks apart by their
z. MAESN's N(0, 0.1^2) would drown in sigma_i = 1, and without an inner step nothing else separates
the tasks: theta then learns to ignore z, and at meta-test no z is better than another.
"""

from typing import Any

from explorax.config import MetaConfig


def latent_space(**overrides: Any) -> MetaConfig:
    """No inner step, mu_i ~ N(0, 1); see MetaConfig's fields."""
    return MetaConfig(**{"num_inner_steps": 0, "init_latent_std": 1.0, **overrides})
