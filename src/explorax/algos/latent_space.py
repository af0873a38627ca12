"""LatentSpace: MAESN's baseline without a meta-gradient (Gupta et al. 2018, section 5).

Tasks own latent distributions and theta is shared, as in MAESN, but nothing is adapted during
meta-training: the outer step sees the episodes of N(mu_i, sigma_i) themselves. At meta-test the
latents adapt with step size 1 (meta_update.meta_test_start).
"""

from typing import Any

from explorax.config import MetaConfig


def latent_space(**overrides: Any) -> MetaConfig:
    """No inner step; see MetaConfig's fields."""
    return MetaConfig(**{"num_inner_steps": 0, **overrides})
