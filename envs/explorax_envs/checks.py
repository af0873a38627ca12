"""Checks of arguments."""

from collections.abc import Iterable


def check_choice(field: str, value: object, choices: Iterable[str]) -> None:
    """Raises a ValueError that names the field and its choices unless ``value`` is one."""
    names = list(choices)
    if value not in names:
        raise ValueError(f"{field} must be one of {', '.join(names)}; got {value!r}")
