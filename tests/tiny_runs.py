"""The smallest runs."""

from explorax.config import MetaConfig, PPOConfig

META = MetaConfig(
    num_train_tasks=4,
    meta_batch_size=4,
    num_episodes=4,
    hidden_sizes=(8,),
    ppo=PPOConfig(num_epochs=2),
)
"""A real learner on the point robot, as small as it gets."""

SKILLS = [
    "--preset=point-diayn",
    "--skills.num-skills=3",
    "--skills.num-train-tasks=4",
    "--skills.num-episodes=4",
    "--skills.num-gradient-steps=3",
    "--skills.batch-size=8",
    "--skills.replay-size=200",
    "--skills.hidden-sizes=8",
]
"""Flags of a run of skills on it."""
