"""Measures speed, compile time and memory: ``python experiments/bench.py``.

Tables, a picture, JSON, and a line in a history that ``bench_compare.py`` reads. Every program is
timed in a process of its own; one that fails is a row that says why, and the others go on. Compile
times are reported apart and are in no steps/s. Exit codes: 0 done, 1 nothing could be measured,
2 wrong flags.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import history
from benchmarks.cases import Case
from benchmarks.flags import BenchConfig, SectionName
from benchmarks.history import FORMAT, Document
from benchmarks.runner import Row, Timer, in_own_process, remembering
from benchmarks.sections import SECTIONS
from cli import parse, run_main
from errors import RunError
from provenance import installed, machine
from run_directory import write_json


def bench(config: BenchConfig) -> Document:
    """Times all sections; the document is written after each of them."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from benchmarks import tables
    from consoles import wide_console

    asked = SECTIONS.keys() if "all" in config.sections else config.sections
    names: list[SectionName] = [name for name in SECTIONS if name in asked]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console, rows = wide_console(), {}
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        bar = progress.add_task("devices", total=len(names))
        timed = remembering(
            lambda case: in_own_process(case, config.timeout_s),
            rows,
            config.max_minutes,
            begin=lambda name: progress.update(bar, description=f"timing {name}"),
            end=lambda name, row: progress.console.print(said(name, row), highlight=False),
        )
        document = begun(config, rows, timed)
        for name in names:
            document["sections"][name] = SECTIONS[name](config, timed)
            document["took_s"] = time.time() - document["began"]
            write_json(config.out, document)
            console.print(tables.of_section(name, document))
            progress.advance(bar)
    return document


def begun(config: BenchConfig, rows: dict[str, Row], timed: Timer) -> Document:
    """A benchmark without its sections."""
    found = timed(Case("devices", devices=config.devices))
    return {
        "format": FORMAT,
        "time": time.strftime("%Y-%m-%d %H:%M:%S"),
        "began": time.time(),
        "took_s": 0.0,
        "flags": flags(config),
        "machine": machine() | {"torch": installed("torch")},
        "devices": {name: found.get(name) for name in ("platform", "kind", "count", "error")},
        "rows": rows,
        "sections": {},
    }


def flags(config: BenchConfig) -> dict[str, Any]:
    """As JSON-able values."""
    values = asdict(config)
    return {name: str(x) if isinstance(x, Path) else x for name, x in values.items()}


def said(name: str, row: Row) -> str:
    """A case that is done, in a line."""
    if "error" in row:
        return f"{name}: {row['error']}"
    speed = f"{row['steps_per_s']:,.0f} steps/s" if "steps_per_s" in row else "done"
    return f"{name}: {speed} (took {row['took_s']:.0f} s)"


def main(argv: Sequence[str]) -> int:
    """Benchmarks what the flags say."""
    config = parse(BenchConfig, argv)
    config.out.parent.mkdir(parents=True, exist_ok=True)
    document = bench(config)
    timed = [row for row in document["rows"].values() if row["case"]["program"] != "devices"]
    if all("error" in row for row in timed):
        raise RunError("nothing could be measured; see the lines above")
    history.append(config.history, document)
    from benchmarks.picture import draw

    picture = config.out.with_suffix(".png")
    paths = [config.out, config.history, *([picture] if draw(picture, document) else [])]
    for path in paths:
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
