"""Reads what Weights & Biases has written, by its own tool, and looks for what it must not have."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def records(file: Path) -> list[dict[str, Any]]:
    """All records of a run's ``.wandb`` file."""
    command = [Path(sys.executable).parent / "wandb", "leet", "inspect", "--json", str(file)]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return [json.loads(line) for line in out.splitlines()]


def offline_runs(directory: Path) -> list[list[dict[str, Any]]]:
    """The records of all offline runs below ``directory``, the oldest first."""
    return [records(file) for file in sorted(directory.glob("wandb/offline-run-*/run-*.wandb"))]


def files_with(text: str, directory: Path) -> list[Path]:
    """All files below that hold it."""
    return [p for p in directory.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]


def exit_codes(directory: Path) -> list[int]:
    """What W&B was told at the end of all offline runs below ``directory``, the oldest first."""
    parts = offline_runs(directory)
    return [r["exit"].get("exit_code", 0) for part in parts for r in part if r["type"] == "exit"]


def history(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was logged, step by step."""
    return [record["history"]["item"] for record in found if record["type"] == "history"]
