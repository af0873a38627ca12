"""Packages that only some need."""

import importlib
from types import ModuleType

from errors import UsageError


def import_extra(name: str, extra: str, wanted_by: str = "executor") -> ModuleType:
    """The package ``name``, which is installed with an extra of this project.

    Args:
      name: of the package.
      extra: of this project.
      wanted_by: the flag that asks for it.

    Raises:
      UsageError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = f"{wanted_by}: the package {error.name} is not installed"
        raise UsageError(f"{missing}; pip install -e '.[{extra}]'") from error
