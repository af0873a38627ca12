"""Tests run on two CPU devices, with a compilation cache that survives the run."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as configure_jax, and before jax is imported

import jax

jax.config.update("jax_num_cpu_devices", 2)
CACHE = Path(os.environ.get("EXPLORAX_CACHE_DIR", Path.home() / ".cache" / "explorax")) / "jax"
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
