"""RL2: a recurrent policy learns to learn (Duan et al. 2016, arXiv 1611.02779; Wang et al. 2016,
arXiv 1611.05763).

The policy sees its last action and reward beside the observation, and remembers all episodes of a
task. What the other methods do by inner gradient steps, its memory has to do.

Where to read it:
  the policy                       nets.recurrent_policy
  episodes of one trial            trials.unroll_trials, rollout.next_episode
  outer objective                  trials.trial_loss, over whole trials
  meta-test                        trials.continue_trials: iteration i is the i-th episode
"""

from typing import Any

from explorax.config import MetaConfig


def rl2(**overrides: Any) -> MetaConfig:
    """Trials of five episodes, a GRU of 64 units; see MetaConfig's fields."""
    settings = {
        "adapt": "params",
        "latent_dim": 0,
        "kl_coef": 0.0,
        "memory_size": 64,
        "num_inner_steps": 4,
        "num_episodes": 16,
        "hidden_sizes": (100,),
    }
    return MetaConfig(**{**settings, **overrides})
