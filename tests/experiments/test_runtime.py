"""How a process uses the machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "experiments"


@pytest.mark.parametrize("first", ["configure_jax(1)", "needing_memory().__enter__()"])
def test_xla_is_told_to_be_quiet_before_jax_is_imported(first):
    """It prints a page for every program from the cache, and asks only once."""
    program = f"""
import os, sys
import runtime
class Watch:
    def find_spec(self, name, *_):
        if name == "jax":
            print(os.environ.get("TF_CPP_MIN_LOG_LEVEL"))
sys.meta_path.insert(0, Watch())
runtime.{first}
"""
    env = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=env | {"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["3"]
