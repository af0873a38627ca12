"""Packages that only some need."""

import importlib
from types import ModuleType

from errors import UsageError


def import_extra(name: str, extra: str) -> ModuleType:
    """The package ``name``, which is installed with an extra of this project.

    Raises:
      UsageError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = f"executor: the package {error.name} is not installed"
        raise UsageError(f"{missing}; python -m pip install -e '.[{extra}]'") from error
