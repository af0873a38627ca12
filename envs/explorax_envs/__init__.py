"""Environments for learning to explore: fixed horizon, the task is data, Brax's interface.

Importing the package registers every environment with Brax under ``explorax_<name>``.
"""

from explorax_envs.registry import make, register_with_brax

__all__ = ["make"]

register_with_brax()
