"""Disks without room."""

import shutil
from pathlib import Path

import pytest


def fill(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """There is next to no room in directories of that name."""
    usage = shutil.disk_usage

    def nearly_full(path):
        return usage(path)._replace(free=1000) if Path(path).name == name else usage(path)

    monkeypatch.setattr(shutil, "disk_usage", nearly_full)
