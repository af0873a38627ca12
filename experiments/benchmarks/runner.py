"""Runs cases, each in a process of its own, and remembers what came of them."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.cases import Case, name_of

SCRIPT = Path(__file__).parents[1] / "bench_case.py"

Row = dict[str, Any]
Timer = Callable[[Case], Row]


def in_own_process(case: Case, timeout_s: float) -> Row:
    """A case's figures; ``error`` where it failed, was killed or took too long."""
    command = [sys.executable, str(SCRIPT), json.dumps(asdict(case))]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not measured: took longer than {timeout_s:.0f} s"}
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        memory = " (out of memory?)" if name == "SIGKILL" else ""
        return {"error": f"killed by {name}{memory}"}
    if done.returncode > 0:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        return {"error": said[-1][:300] if said else f"exit code {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def remembering(
    run: Callable[[Case], Row],
    rows: dict[str, Row],
    max_minutes: float,
    begin: Callable[[str], None],
    end: Callable[[str, Row], None],
) -> Timer:
    """A function that times each case once, however often it is asked for.

    Args:
      run: times a case.
      rows: what was measured, by the name of the case; filled.
      max_minutes: after which no further case is begun; 0: no limit.
      begin: told a case's name before it is timed.
      end: told its name and its row afterwards.
    """
    start = time.monotonic()

    def timed(case: Case) -> Row:
        name = name_of(case)
        if name not in rows:
            begin(name)
            began = time.monotonic()
            if 0 < 60 * max_minutes < began - start:
                row = {"error": "not measured: --max-minutes are over"}
            else:
                row = run(case)
            rows[name] = row | {"case": asdict(case), "took_s": time.monotonic() - began}
            end(name, rows[name])
        return rows[name]

    return timed
