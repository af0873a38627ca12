"""How this process uses the machine: devices, the compilation cache, quiet imports."""

import contextlib
import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from config import WITH_PHYSICS, EnvConfig
from errors import RunError

if TYPE_CHECKING:
    from explorax.types import Env


def configure_jax(num_devices: int) -> None:
    """One CPU device per core, a compilation cache that outlives the process, exact products.

    Has to come before anything that asks jax for its devices; where that has happened already,
    the number of CPU devices stays as it is.

    Args:
      num_devices: the most CPU devices to make; 0 for one per core.
    """
    quiet_xla()
    import jax

    forced = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not forced:
        with contextlib.suppress(RuntimeError):  # the backend has started
            most = num_devices or cpu_cores()
            jax.config.update("jax_num_cpu_devices", min(most, cpu_cores()))
    jax.config.update("jax_compilation_cache_dir", str(cache_directory()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
    for name in ("absl", "asyncio"):  # what Orbax and its tasks log is raised, too
        logging.getLogger(name).setLevel(logging.CRITICAL)
    jax.config.update("jax_default_matmul_precision", "highest")


def quiet_xla() -> None:
    """Has to come before jax is imported.

    For every program that comes from the cache XLA prints a page on tuning flags of the CPU.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextlib.contextmanager
def needing_memory() -> Iterator[None]:
    """Where memory does not suffice, a RunError says so in one line."""
    quiet_xla()
    import jax

    try:
        yield
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        said = str(error).partition("\n")[0]
        if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in said:
            raise
        raise RunError(f"memory does not suffice ({said}); smaller sizes need less") from error


def cpu_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cache_directory() -> Path:
    """Where compiled programs are kept: $EXPLORAX_CACHE_DIR/jax, ~/.cache/explorax/jax."""
    root = os.environ.get("EXPLORAX_CACHE_DIR") or Path.home() / ".cache" / "explorax"
    return Path(root) / "jax"


def import_envs() -> ModuleType:
    """The package ``explorax_envs``, without what mjx prints about optional parts it lacks."""
    with contextlib.redirect_stdout(io.StringIO()):
        import explorax_envs
    return explorax_envs


def make_env(config: EnvConfig, reward: str | None = None) -> "Env":
    """The environment, with its own reward or another one."""
    arguments = {"reward": reward or config.reward}
    if config.name == "push":
        arguments |= {"block_shape": config.block_shape}
    if config.name in WITH_PHYSICS:
        arguments |= {"physics": config.physics}
    return import_envs().make(config.name, **arguments)
