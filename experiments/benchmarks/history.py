"""Benchmarks one after the other: a JSON document a line."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from errors import UsageError

FORMAT = 1
Document = dict[str, Any]


def append(path: Path, document: Document) -> None:
    """Adds a benchmark."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(document) + "\n")


def read_all(path: Path) -> list[Document]:
    """All benchmarks of a history, oldest first.

    Raises:
      UsageError: there is none, or it cannot be read.
    """
    if not path.is_file():
        raise UsageError(f"history: {path}: there is no such file; `make bench` writes it")
    lines = _read(path, "history").splitlines()
    return [_document(line, f"history: {path}:{n}") for n, line in enumerate(lines, 1)]


def read_one(path: Path) -> Document:
    """A benchmark's own file.

    Raises:
      UsageError: it is missing, or is none.
    """
    if not path.is_file():
        raise UsageError(f"against: {path}: there is no such file")
    return _document(_read(path, "against"), f"against: {path}")


def _read(path: Path, field: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{field}: {path}: is no text ({error})") from error


def _document(text: str, where: str) -> Document:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: is no JSON ({error})") from error
    parts = ("machine", "devices", "rows")
    if (
        not isinstance(document, dict)
        or document.get("format") != FORMAT
        or not all(isinstance(document.get(part), dict) for part in parts)
    ):
        raise UsageError(f"{where}: is no benchmark of this version (format {FORMAT})")
    return document


def same_machine(one: Document, other: Document) -> bool:
    """Whether speeds of two benchmarks can be compared."""
    return machine_name(one) == machine_name(other)


def machine_name(document: Document) -> str:
    """Processor, cores and devices."""
    machine, devices = document["machine"], document["devices"]
    cpu = f"{machine['processor']}, {machine['cores']} cores"
    is_cpu = devices.get("platform") in (None, "cpu")  # None: they could not be asked for
    return cpu if is_cpu else f"{cpu}, {devices['count']} × {devices['kind']}"


def label(document: Document) -> str:
    """When, and of which commit."""
    whole = document["machine"]["commit"]
    dirty = "-dirty" if whole.endswith("-dirty") else ""
    return f"{document['time']}, {whole[:7] + dirty or 'no commit'}"


def one_before(history: Sequence[Document], document: Document) -> Document:
    """The newest benchmark of the same machine before the last one of ``history``.

    Raises:
      UsageError: there is none.
    """
    earlier = [entry for entry in history[:-1] if same_machine(entry, document)]
    if not earlier:
        raise UsageError(
            f"history: has no earlier benchmark of this machine ({machine_name(document)})"
        )
    return earlier[-1]
