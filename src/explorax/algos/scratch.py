"""Learning every new task from scratch: no meta-training (Gupta et al. 2018, section 5).

Theta is random, and at meta-test the outer step (TRPO as in the paper, or ppo) trains it on each
task alone, from the sparse reward. Where to read it: alone.learn_alone. With ``curiosity`` a bonus
for new states is added to the reward (random network distillation or counts): curiosity.rnd and
curiosity.counts.
"""

from typing import Any

from explorax.config import MetaConfig


def scratch(**overrides: Any) -> MetaConfig:
    """A policy without a latent, trained by trpo at meta-test; see MetaConfig's fields."""
    settings = {"adapt": "params", "latent_dim": 0, "kl_coef": 0.0, "test_optimizer": "trpo"}
    return MetaConfig(**{**settings, **overrides})
