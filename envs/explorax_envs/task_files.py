"""Sets of tasks in ``.npz`` files that say which suite they belong to."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

SUITE = "suite"


class TaskFormat(NamedTuple):
    """What a suite's tasks look like."""

    suite: str  # name of the environment
    kind: Callable[..., Any]  # NamedTuple of arrays
    fields: dict[str, tuple[type, tuple[int, ...]]]  # dtype and shape of one task's
    problem: Callable[[dict[str, np.ndarray]], str | None] = lambda _: None
    """What is wrong with well-formed arrays, if anything is."""


def save_tasks(form: TaskFormat, path: str | Path, tasks: Any, *, overwrite: bool = False) -> None:
    """Writes a batch of tasks (one leading axis) to an ``.npz`` file.

    Raises:
        FileExistsError: the file exists and ``overwrite`` is false.
        ValueError: the tasks are not a well-formed batch.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: exists already; pass overwrite=True to replace it")
    arrays = {name: np.asarray(getattr(tasks, name)) for name in form.fields}
    _check(form, path, arrays)
    with path.open("wb") as file:
        np.savez(file, **arrays, **{SUITE: np.array(form.suite)})


def load_tasks(form: TaskFormat, path: str | Path) -> Any:
    """Reads a batch of tasks that `save_tasks` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file does not hold a well-formed batch of tasks of the suite.
    """
    path = Path(path)
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, ValueError, EOFError, TypeError) as error:
        raise ValueError(f"{path}: is not a readable .npz file of arrays") from error
    suite = arrays.pop(SUITE, None)
    if suite is None:
        raise ValueError(f"{path}: array '{SUITE}' is missing")
    if str(suite) != form.suite:
        raise ValueError(f"{path}: holds tasks of '{suite}', not of '{form.suite}'")
    _check(form, path, arrays)
    return form.kind(
        **{name: jnp.asarray(arrays[name], dtype) for name, (dtype, _) in form.fields.items()}
    )


def _check(form: TaskFormat, path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Raises a one-line ValueError that names ``path`` unless the arrays are a batch of tasks."""
    for name in form.fields:
        if name not in arrays:
            raise ValueError(f"{path}: array '{name}' is missing")
        if not np.issubdtype(arrays[name].dtype, np.number):
            raise ValueError(f"{path}: array '{name}' is not numeric ({arrays[name].dtype})")
    num_tasks = arrays[next(iter(form.fields))].shape[:1]
    if num_tasks == (0,):
        raise ValueError(f"{path}: holds no task")
    for name, (_, rest) in form.fields.items():
        shape, wanted = arrays[name].shape, (*(num_tasks or ("N",)), *rest)
        if shape != wanted:
            raise ValueError(f"{path}: array '{name}' has shape {shape}, expected {wanted}")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{path}: array '{name}' holds values that are not finite")
    problem = form.problem(arrays)
    if problem is not None:
        raise ValueError(f"{path}: {problem}")
