"""How random tests are drawn: always the same ones."""

from functools import partial

from hypothesis import HealthCheck, settings

ANY = partial(
    settings,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
