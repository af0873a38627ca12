"""Environments for learning to explore: fixed horizon, the task is data, Brax's interface.

Importing the package registers every environment with Brax under ``explorax_<name>``.
"""

from explorax_envs.registry import load_tasks, make, register_with_brax, save_tasks

__all__ = ["load_tasks", "make", "save_tasks"]

register_with_brax()
