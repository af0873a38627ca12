"""Metrics as lines of JSON: the record of truth."""

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from explorax.sinks.kinds import METRIC_KEYS


class SinkError(Exception):
    """A sink's file cannot be used; one line that names it."""


def finite_or_none(value: float) -> float | None:
    """JSON knows neither NaN nor infinity."""
    return value if math.isfinite(value) else None


class JsonlSink:
    """One line of JSON per iteration, on disk before ``write`` returns."""

    def __init__(self, path: Path, keys: tuple[str, ...] = METRIC_KEYS):
        """Appends to ``path``, which is made if need be; every line has ``keys``."""
        self.keys = keys
        self._file = path.open("a", encoding="utf-8")

    def write(self, metrics: Mapping[str, float]) -> None:
        """Adds a line; other keys follow in alphabetical order."""
        line: dict[str, float | None] = dict.fromkeys(self.keys)
        line |= {name: finite_or_none(metrics[name]) for name in sorted(metrics)}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def parse_line(line: str) -> dict[str, Any]:
    """One iteration's metrics.

    Raises:
      ValueError: they are no JSON object of numbers, ``meta_iteration`` among them.
    """
    try:
        record = json.loads(line)
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    if not isinstance(record, dict) or type(record.get("meta_iteration")) is not int:
        raise ValueError("it is no object with a meta_iteration")
    for name, value in record.items():
        is_number = type(value) in (int, float) and abs(value) <= sys.float_info.max
        if value is not None and not is_number:
            raise ValueError(f"{name} is no number")
    return record


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """All lines; a last one that was cut short by a kill is left out.

    Raises:
      SinkError: another line is not one of metrics.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            record = parse_line(line)
        except ValueError as error:
            if number == len(lines):
                break
            raise SinkError(f"{path}: line {number} is not a line of metrics ({error})") from error
        records.append(record)
    return records


def read_together(paths: Sequence[Path]) -> Iterator[tuple[dict[str, Any], ...]]:
    """The lines of several files side by side, as far as the shortest; none unless all are there.

    Raises:
      SinkError: as ``read_jsonl``.
    """
    whole = all(path.exists() for path in paths)
    return zip(*map(read_jsonl, paths), strict=False) if whole else iter(())


def truncate_jsonl(path: Path, meta_iteration: int) -> float:
    """Drops the lines after ``meta_iteration``, so that they are not written twice.

    Returns:
      ``wall_s`` of the last line that stays, 0 if there is none.

    Raises:
      SinkError: as ``read_jsonl``.
    """
    if not path.exists():
        return 0.0
    kept = [r for r in read_jsonl(path) if r["meta_iteration"] <= meta_iteration]
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("".join(json.dumps(r) + "\n" for r in kept), encoding="utf-8")
    temporary.replace(path)
    return float(kept[-1].get("wall_s") or 0.0) if kept else 0.0
