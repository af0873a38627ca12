"""Ways in which a file of a run may be damaged, as hypothesis draws them."""

import json
import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

Change = Callable[[Path, random.Random], Path | None]
"""Changes a file; returns another one that is changed with it."""

ODD_VALUES = [None, True, -1, 0, 1.5, 10**400, 1e308, "", "x", "\0", [], [[]], {}, {"a": {}}]
NO_UTF8 = bytes(range(128, 256))


def truncate(file: Path, rng: random.Random) -> None:
    os.truncate(file, rng.randrange(max(1, file.stat().st_size)))


def flip(file: Path, rng: random.Random) -> None:
    """A bit of it."""
    content = bytearray(file.read_bytes() or b"\0")
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def empty(file: Path, _: random.Random) -> None:
    file.write_bytes(b"")


def delete(file: Path, _: random.Random) -> None:
    file.unlink()


def make_directory(file: Path, _: random.Random) -> None:
    file.unlink()
    file.mkdir()


def make_text(file: Path, rng: random.Random) -> None:
    file.write_text(rng.choice(["mine", "[]", "{}", "3", "null", "[" * 100_000, "NaN", "\n\n"]))


def append(file: Path, rng: random.Random) -> None:
    with file.open("ab") as end:
        end.write(rng.choice([b"x", b"{}\n", b"\0", NO_UTF8, b"\n"]))


def swap(file: Path, rng: random.Random) -> Path | None:
    """With another file of the same directory."""
    others = [p for p in sorted(file.parent.iterdir()) if p.is_file() and p != file]
    if not others:
        return None
    other, aside = rng.choice(others), file.with_name("aside")
    file.rename(aside)
    other.rename(file)
    aside.rename(other)
    return other


def edit(file: Path, rng: random.Random) -> None:
    """A value of its JSON goes missing, is another one, or comes besides."""
    text = file.read_text()
    lines = text.splitlines() if file.suffix == ".jsonl" else [text]
    at = rng.randrange(len(lines))
    content = {"": json.loads(lines[at])}
    parent, key = rng.choice(_places(content))
    if rng.randrange(3):
        parent[key] = rng.choice(ODD_VALUES)
    elif isinstance(parent, dict) and rng.randrange(2):
        parent[f"{key}x"] = parent[key]
    else:
        del parent[key]
    lines[at] = json.dumps(content.get(""))
    file.write_text("\n".join(lines) + "\n")


def _places(content: Any) -> list[tuple[Any, Any]]:
    """Every container and key in JSON's values; of long lists the ends alone."""
    if isinstance(content, dict):
        keys: Sequence[Any] = list(content)
    elif isinstance(content, list):
        keys = sorted({0, len(content) - 1}) if content else []
    else:
        return []
    return [(content, k) for k in keys] + [p for k in keys for p in _places(content[k])]


class Damage(NamedTuple):
    """One file of a run, and what becomes of it."""

    change: Change
    pick: int  # which of the files: first one of a kind, then one of these
    seed: int

    def do(self, run_dir: Path) -> list[Path]:
        """Damages a file; returns which one, and the other where two are swapped."""
        kinds = list(_kinds(run_dir, self.change).values())
        files = kinds[self.pick % len(kinds)]
        file = files[self.pick // len(kinds) % len(files)]
        other = self.change(file, random.Random(self.seed))
        return [file] if other is None else [file, other]


def _kinds(run_dir: Path, change: Change) -> dict[str, list[Path]]:
    """A directory's files, pictures apart: each by itself, those of checkpoints together."""
    kinds: dict[str, list[Path]] = {}
    for file in sorted(run_dir.rglob("*")):
        has_values = file.suffix in (".json", ".jsonl") or change is not edit
        if file.is_file() and file.suffix not in (".png", ".gif") and has_values:
            kind = file.relative_to(run_dir).parts[0]
            kinds.setdefault(kind, []).append(file)
    return kinds


def damages() -> st.SearchStrategy[Damage]:
    """Every way, at random places: half of it in JSON's values."""
    changes = st.sampled_from([*CHANGES, *[edit] * len(CHANGES)])
    return st.builds(Damage, changes, st.integers(0, 9999), st.integers(0, 9999))


CHANGES: list[Change] = [truncate, flip, empty, delete, make_directory, make_text, append, swap]


def copy(source: Path, target: Path) -> Path:
    """A run as it was."""
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(source, target))
