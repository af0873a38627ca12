"""Brax's own PPO, unmodified, on one of our environments."""

from typing import Any

from brax.training.agents.ppo import train as ppo


def train_briefly(env: Any) -> dict[str, Any]:
    """2^12 steps: the metrics of the last evaluation."""
    _, _, metrics = ppo.train(
        environment=env,
        num_timesteps=2**12,
        episode_length=env.horizon,
        num_envs=32,
        unroll_length=16,
        batch_size=16,
        num_minibatches=2,
        num_updates_per_batch=1,
        num_evals=1,
        num_eval_envs=16,
        seed=0,
    )
    return dict(metrics)
