"""Environments by name."""

from pathlib import Path
from typing import Any

from brax import envs as brax_envs
from brax.envs.base import Env

from explorax_envs import task_files
from explorax_envs.ant import Ant
from explorax_envs.checks import check_choice
from explorax_envs.point import Point
from explorax_envs.push import Push
from explorax_envs.wheeled import Wheeled

_ENVS: dict[str, type[Env]] = {"ant": Ant, "point": Point, "push": Push, "wheeled": Wheeled}


def make(name: str, **kwargs: Any) -> Env:
    """The environment called ``name``, built with ``kwargs``.

    Raises:
        ValueError: there is no such environment, or an argument is none of its choices.
    """
    check_choice("name", name, _ENVS)
    return _ENVS[name](**kwargs)


def save_tasks(name: str, path: str | Path, tasks: Any, *, overwrite: bool = False) -> None:
    """Writes tasks of the environment called ``name``; see ``task_files.save_tasks``."""
    task_files.save_tasks(_ENVS[name].task_format, path, tasks, overwrite=overwrite)


def load_tasks(name: str, path: str | Path) -> Any:
    """Reads tasks of the environment called ``name``; see ``task_files.load_tasks``."""
    return task_files.load_tasks(_ENVS[name].task_format, path)


def register_with_brax() -> None:
    """Makes every environment known to ``brax.envs`` as ``explorax_<name>``."""
    for name, env in _ENVS.items():
        brax_envs.register_environment(f"explorax_{name}", env)
