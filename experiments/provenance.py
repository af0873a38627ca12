"""What a program ran with: packages, the commit of these sources, machine and devices."""

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from errors import UsageError
from run_directory import RunDirectory, read_json, write_json

SOURCES = Path(__file__).parents[1]
PACKAGES = (
    "explorax", "jax", "jaxlib", "brax", "mujoco", "mujoco-mjx", "flax", "optax",
    "orbax-checkpoint", "numpy",
)  # fmt: skip


class Device(Protocol):
    """The part of a ``jax.Device`` that is read."""

    @property
    def device_kind(self) -> str: ...


def record(run: RunDirectory, meta_iteration: int, devices: Sequence[Device]) -> None:
    """Adds to versions.json what trains the run from here on, unless it is what did so before.

    Args:
      run: whose training begins, or goes on.
      meta_iteration: how far it is; what was trained beyond that is done again.
      devices: that train it.

    Raises:
      UsageError: versions.json cannot be read.
    """
    asked = run.config.train.num_iterations
    if 0 < asked <= meta_iteration:  # nothing is left to train
        return
    kinds = sorted({device.device_kind for device in devices})
    now = machine() | {"devices": f"{len(devices)} × {', '.join(kinds)}"}
    kept = [entry for entry in recorded(run) if entry["from_iteration"] < meta_iteration]
    if not kept or without_start(kept[-1]) != now:
        kept.append({"from_iteration": meta_iteration} | now)
    write_json(run.versions, kept)


def without_start(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of versions.json but for where it begins."""
    return {name: value for name, value in entry.items() if name != "from_iteration"}


def recorded(run: RunDirectory) -> list[dict[str, Any]]:
    """The entries of versions.json, each from its ``from_iteration`` on.

    Returns:
      Nothing for a run of earlier versions, which recorded none.

    Raises:
      UsageError: it cannot be read.
    """
    try:
        entries = read_json(run.versions)
        starts = [entry["from_iteration"] for entry in entries]
        if not isinstance(entries, list) or starts != sorted(map(int, starts)):
            raise ValueError("from_iteration does not ascend")
        if not all(isinstance(entry["versions"], dict) for entry in entries):
            raise ValueError("versions are no object")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise UsageError(f"{run.versions}: cannot be read ({error})") from error
    return entries


def machine() -> dict[str, Any]:
    """This machine, its Python, the packages that matter and the commit of these sources."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": len(names) or os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := installed(name))},
        "commit": commit(),
    }


def installed(package: str) -> str | None:
    """Its version, if it is there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str:
    """The commit of these sources, with ``-dirty`` if they differ from it; empty if unknown."""
    if not (SOURCES / ".git").exists():  # not a checkout, or in somebody else's
        return ""
    git = ["git", "-C", str(SOURCES), "describe", "--always", "--dirty", "--exclude=*"]
    # Without the lock: reading must not get into the way of a commit.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            [*git, "--abbrev=40"], capture_output=True, text=True, check=False, env=environment
        )
    except OSError:  # there is no git
        return ""
    return done.stdout.strip()
