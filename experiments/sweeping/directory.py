"""A sweep's directory: what lies where in it, and that two sweeps never write into one.

- spec.json: the sweep, as it was started
- manifest.jsonl: a line per run and setting with the run's id and flags, seeds, varied fields
- states.json: how the runs stand that were begun and are not finished
- runs/ID/ and logs/ID.log: a run's own directory, and what it printed
- lock, logs/ID.log: locked while the sweep, or the run, goes on
- journal.log: what tpe has asked and was told
- slurm/: what submitit keeps of its jobs
- results.csv, sweep.png: what came of it
"""

import contextlib
import json
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from commands import is_locked, lock
from config_json import flatten
from errors import UsageError
from explorax.config import require
from run_directory import read_json, require_name, write_json, write_whole
from sweeping.settings import Setting, SweepRun, runs_of
from sweeping.spec import SweepSpec, content_of, spec_from

ROOT = Path("runs/sweeps")
"""Where sweeps are, each in the directory of its spec's name."""

State = Literal["running", "stopped", "failed"]


def usual_path(spec: Path) -> Path:
    """Where the sweep of a spec's file is if nothing else is said.

    Raises:
      UsageError: its name without the suffix is that of no directory.
    """
    try:
        require_name(spec.stem, "spec")
    except ValueError as error:
        raise UsageError(str(error)) from error
    return ROOT / spec.stem


class Entry(NamedTuple):
    """A line of the manifest: a setting of a run, which may have several."""

    id: str  # the run's
    settings_id: str
    seeds: Sequence[int]
    fields: dict[str, Any]
    flags: Sequence[str]


@dataclass(frozen=True)
class SweepDirectory:
    """One sweep on disk."""

    path: Path
    spec: SweepSpec

    @classmethod
    def open(cls, path: Path) -> "SweepDirectory":
        """The sweep that is in ``path``.

        Raises:
          UsageError: there is none.
        """
        file = path / "spec.json"
        try:
            return cls(path, spec_from(read_json(file)))
        except FileNotFoundError:
            raise UsageError(f"{file}: is missing; {path} has no sweep") from None
        except (OSError, ValueError) as error:
            raise UsageError(f"{file}: {' '.join(str(error).split())}") from error

    def run_dir(self, run_id: str) -> Path:
        """A run's own directory."""
        return self.path / "runs" / run_id

    def log(self, run_id: str) -> Path:
        """What a run printed."""
        return self.path / "logs" / f"{run_id}.log"

    @property
    def journal(self) -> Path:
        """What tpe has asked and was told."""
        return self.path / "journal.log"

    @property
    def _manifest(self) -> Path:
        return self.path / "manifest.jsonl"

    @contextlib.contextmanager
    def begin(self) -> Iterator[None]:
        """Makes the directory, or goes on in it, while nobody else does.

        The directory is free once a sweep and all of its runs have ended, however they did.

        Raises:
          UsageError: another sweep is there, or this one or a run of it is still going on, or its
            preset is not what it was.
        """
        found = (self.path / "spec.json").exists()
        if not found and self.path.exists() and any(self.path.iterdir()):
            raise UsageError(f"{self.path}: exists already and has no sweep; move it away")
        if found:
            self._check_same(SweepDirectory.open(self.path).spec)
            self._check_ids()
        for name in ("runs", "logs"):
            (self.path / name).mkdir(parents=True, exist_ok=True)
        with self._lock_file.open("a") as file:
            if not lock(file) or self._has_left():
                going_on = "a sweep, or a run that one has left, is still going on there"
                raise UsageError(f"{self.path}: {going_on}")
            if not found:
                write_json(self.path / "spec.json", content_of(self.spec))
            yield

    @property
    def _lock_file(self) -> Path:
        return self.path / "lock"

    def is_swept(self) -> bool:
        """Whether a sweep, or a run of it, is going on."""
        return is_locked(self._lock_file) or self._has_left()

    def _has_left(self) -> bool:
        """Whether a run still writes into its log."""
        return any(map(is_locked, (self.path / "logs").glob("*.log")))

    def _check_same(self, was: SweepSpec) -> None:
        before, now = (flatten(content_of(spec)) for spec in (was, self.spec))
        for name in sorted(before.keys() | now.keys()):
            if before.get(name) != now.get(name):
                raise UsageError(
                    f"{name}: {self.path / 'spec.json'} has {before.get(name)!r}, not "
                    f"{now.get(name)!r}; a changed sweep needs another name"
                )

    def _check_ids(self) -> None:
        """An id is of all settings, those of the preset and the defaults included."""
        by_id: dict[str, list[dict[str, Any]]] = {}
        for entry in self.entries():
            by_id.setdefault(entry.id, []).append(entry.fields)
        for run_id, settings in by_id.items():
            if run_id not in self._ids(settings):
                raise UsageError(
                    f"preset: {self.spec.preset} has other settings now than when {self._manifest} "
                    "was written; a changed sweep needs another name"
                )

    def _ids(self, settings: Sequence[Setting]) -> list[str]:
        """Ids of the settings' runs; none if the preset, or this version, refuses a setting."""
        try:
            return [run.id for run in runs_of(self.spec, settings)]
        except ValueError:
            return []

    def entries(self) -> list[Entry]:
        """The manifest's lines.

        Raises:
          UsageError: they cannot be read.
        """
        file = self._manifest
        if not file.exists():
            return []
        try:
            return list(map(self._entry, file.read_text(encoding="utf-8").splitlines()))
        except (ValueError, TypeError, RecursionError) as error:
            raise UsageError(f"{file}: cannot be read ({error})") from error

    def _entry(self, line: str) -> Entry:
        """What a line of the manifest says."""
        entry = Entry(**json.loads(line))
        for name, kind in Entry.__annotations__.items():
            value = getattr(entry, name)
            known = isinstance(value, typing.get_origin(kind) or kind)
            require(known, name, f"must be of type {kind.__name__}; got {value!r}")
        require_name(entry.id, "id")
        are_numbers = all(type(seed) is int for seed in entry.seeds)
        require(are_numbers, "seeds", f"must be integers; got {entry.seeds!r}")
        varied = entry.fields.keys() == self.spec.fields.keys()
        require(varied, "fields", f"must be {', '.join(self.spec.fields)}")
        return entry

    def add(self, runs: Sequence[SweepRun]) -> None:
        """Adds the manifest's lines that are not there yet."""
        lines = [entry._asdict() for entry in self.entries()]
        known = {line["id"] for line in lines}
        lines += [line for run in runs if run.id not in known for line in run.to_json()]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        write_whole(self._manifest, text)

    def states(self) -> dict[str, State]:
        """How the runs that were begun and are not finished stand.

        Raises:
          UsageError: it cannot be read.
        """
        file, known = self.path / "states.json", get_args(State)
        if not file.exists():
            return {}
        try:
            states = read_json(file)
            require(isinstance(states, dict), "states", "must be an object")
            for name, state in states.items():
                require(state in known, name, f"must be one of {', '.join(known)}; got {state!r}")
        except (OSError, ValueError) as error:
            raise UsageError(f"{file}: cannot be read ({error}); move it away") from error
        return states

    def set_state(self, run_id: str, state: State | None) -> None:
        """Notes how a run stands; None: it is finished."""
        states = {name: s for name, s in self.states().items() if name != run_id}
        write_json(self.path / "states.json", states | ({run_id: state} if state else {}))
