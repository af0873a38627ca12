"""Tables of numbers as CSV."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A header, then a line per row, all of the same columns; there is one row at least."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = list(rows[0])
    write_rows(path, header, ([row[name] for name in header] for row in rows))


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A header, then a line per row; None becomes an empty cell."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
