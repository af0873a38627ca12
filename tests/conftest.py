"""Tests run on two CPU devices, with a compilation cache that survives the run."""

import logging
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as configure_jax, and before jax is imported

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 2)
CACHE = Path(os.environ.get("EXPLORAX_CACHE_DIR", Path.home() / ".cache" / "explorax")) / "jax"
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    from matplotlib.figure import Figure

    figures, save = [], Figure.savefig

    def keep(figure, *args, **kwargs):
        figures.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


@pytest.fixture
def no_wandb_account(monkeypatch, tmp_path):
    """Nothing of the person who runs the tests is used, or written to."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    for name in ("CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "of-wandb" / name.lower()))
    wandb = sys.modules.get("wandb")
    if wandb is not None:
        wandb.teardown()  # it reads the environment once
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()
    logger = logging.getLogger("wandb")
    for handler in logger.handlers[:]:
        if isinstance(handler, logging.FileHandler):  # of a run whose process was killed
            logger.removeHandler(handler)
            handler.close()
