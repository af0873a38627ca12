"""Environments by name."""

from typing import Any

from brax import envs as brax_envs
from brax.envs.base import Env

from explorax_envs.checks import check_choice
from explorax_envs.point import Point
from explorax_envs.push import Push

_ENVS: dict[str, type[Env]] = {"point": Point, "push": Push}


def make(name: str, **kwargs: Any) -> Env:
    """The environment called ``name``, built with ``kwargs``.

    Raises:
        ValueError: there is no such environment, or an argument is none of its choices.
    """
    check_choice("name", name, _ENVS)
    return _ENVS[name](**kwargs)


def register_with_brax() -> None:
    """Makes every environment known to ``brax.envs`` as ``explorax_<name>``."""
    for name, env in _ENVS.items():
        brax_envs.register_environment(f"explorax_{name}", env)
