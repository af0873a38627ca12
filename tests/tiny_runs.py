"""The smallest run of skills, and how random tests are drawn: always the same ones."""

from functools import partial

from hypothesis import HealthCheck, settings

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

ANY = partial(
    settings,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
