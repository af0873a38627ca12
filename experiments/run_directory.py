"""A run's directory: what lies where in it, and that nothing in it is overwritten by accident.

A run of several seeds, or settings, has config.json and checkpoints/ in common, and for each of its
members a directory with what a run of this seed and setting alone would leave.
"""

import contextlib
import json
import os
import re
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from config import Config, RunConfig
from config_json import LOGGING, flatten, from_json, to_json
from errors import UsageError
from explorax.config import require
from variations import short_name

FORMAT = 1

C = TypeVar("C", bound=RunConfig)


@dataclass(frozen=True)
class RunDirectory(Generic[C]):
    """One run on disk, of one seed or several."""

    path: Path
    config: C  # its run_dir is ``path``
    run_id: str  # tells runs apart wherever their directories are moved
    setting: str = ""  # of a member: in what it differs from others, but for its seed

    @property
    def config_file(self) -> Path:
        """Settings and identity."""
        return self.path / "config.json"

    @property
    def versions(self) -> Path:
        """What it is trained with: packages, commit, machine."""
        return self.path / "versions.json"

    @property
    def metrics(self) -> Path:
        """One line of JSON per meta-iteration."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The newest states."""
        return self.path / "checkpoints"

    @property
    def broken(self) -> Path:
        """Checkpoints of the states before and after the last update that was not finite.

        They stay where a resumed run got past it.
        """
        return self.path / "broken"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.path / "tensorboard"

    def members(self) -> list["RunDirectory[C]"]:
        """The run of each seed and setting; their settings and states are in this directory."""
        config = self.config
        if config.num_members == 1:
            return [self]
        settings = config.settings if isinstance(config, Config) else []
        names = [short_name(values) for values in settings] or [""]
        of_members = [name for name in names for _ in range(config.num_seeds)]
        numbered = enumerate(zip(config.members(), of_members, strict=True), start=config.seed)
        return [self._member(number, *member) for number, member in numbered]

    def _member(self, number: int, config: C, setting: str) -> "RunDirectory[C]":
        path = self.path / f"{setting}{'-' if setting else ''}seed{config.seed}"
        return RunDirectory(path, replace(config, run_dir=path), f"{self.run_id}-{number}", setting)

    @staticmethod
    def check_new(path: Path) -> None:
        """Raises UsageError where a new run would come upon something."""
        if path.is_dir() and not any(path.iterdir()):
            return
        if path.exists() or path.is_symlink():
            raise UsageError(
                f"run_dir: {path} exists already; --resume continues it, another --run-dir "
                "starts anew"
            )

    @classmethod
    def create(cls, config: C) -> "RunDirectory[C]":
        """Makes the directory of a new run and writes its config.json.

        Raises:
          UsageError: it cannot be written, or $WANDB_RUN_ID is no id.
        """
        run_id = _new_id(config)
        path = config.run_dir or Path("runs")
        try:
            path = config.run_dir or _new_directory(config)
            cls.check_new(path)
            run = cls(path, replace(config, run_dir=path), run_id)
            for member in run.members():
                member.path.mkdir(parents=True, exist_ok=True)
            run.write_config()
        except OSError as error:
            raise UsageError(f"run_dir: {path} cannot be written ({error.strerror})") from error
        return run

    @classmethod
    def open(cls, path: Path, kind: type[RunConfig] = RunConfig) -> "RunDirectory[Any]":
        """The run that is in ``path``.

        Raises:
          UsageError: there is none, or one of another kind.
        """
        file = path / "config.json"
        if not path.is_dir():
            raise UsageError(f"{path}: there is no such run directory")
        try:
            content = read_json(file)
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']!r} is not {FORMAT}")
            config, run_id = from_json(content["config"]), content["run_id"]
            require_name(run_id, "run_id")
        except FileNotFoundError:
            hint = f"is {path} a run directory?"
            if (path.parent / "config.json").exists():
                hint = f"the run that {path.name} is part of is in {path.parent}"
            raise UsageError(f"{file}: is missing; {hint}") from None
        except (OSError, ValueError) as error:
            raise UsageError(f"{file}: {' '.join(str(error).split())}") from error
        except (KeyError, TypeError) as error:
            raise UsageError(f"{file}: is not a run's config ({error!r})") from error
        if not isinstance(config, kind):
            raise UsageError(
                f"{path}: is a run of `make {config.target}`, not of `make {kind.target}`"
            )
        return RunDirectory(path, replace(config, run_dir=path), run_id)

    def write_config(self) -> None:
        """Writes config.json, whole or not at all."""
        content = {"format": FORMAT, "run_id": self.run_id, "config": to_json(self.config)}
        write_json(self.config_file, content)


class Seed(NamedTuple):
    """One seed, and setting, of a run."""

    run: RunDirectory[Any]
    index: int  # among the run's members

    @property
    def member(self) -> RunDirectory[Any]:
        """The run of this seed alone."""
        return self.run.members()[self.index]

    @classmethod
    def open(cls, path: Path, kind: type[RunConfig] = RunConfig) -> "Seed":
        """The first seed of the run in ``path``, or the seed of several whose directory it is.

        Raises:
          UsageError: as ``RunDirectory.open``.
        """
        around = path.parent
        if (around / "config.json").exists() and not (path / "config.json").exists():
            run = RunDirectory.open(around, kind)
            paths = [member.path for member in run.members()]
            if path.is_dir() and path in paths:
                return cls(run, paths.index(path))
        return cls(RunDirectory.open(path, kind), 0)


MAY_CHANGE = ("train.num_iterations", "train.devices", "evaluation.", *LOGGING)
"""Fields that a resumed run may change."""


def check_same(was: RunConfig, now: RunConfig, where: str) -> None:
    """Raises UsageError where ``now`` cannot go on from what ``where`` was made with."""
    before = flatten(to_json(was))
    for name, value in flatten(to_json(now)).items():
        if value != before[name] and not name.startswith(MAY_CHANGE):
            raise UsageError(
                f"{name}: {where} has {before[name]!r}, and a resumed run cannot change it to "
                f"{value!r}"
            )


def _new_id(config: RunConfig) -> str:
    """The one that an agent of a W&B sweep has for its run, which has one member; else a new one.

    Raises:
      UsageError: it could not be a part of names of files.
    """
    given = os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None
    if not given or config.wandb.mode == "disabled" or config.num_members > 1:
        return uuid.uuid4().hex[:8]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", given):
        raise UsageError(
            "WANDB_RUN_ID: must be at most 64 letters, digits, dots, dashes and underscores, and "
            f"begin with a letter or digit; got {given!r}"
        )
    return given


def _new_directory(config: RunConfig) -> Path:
    """Makes one below runs/; of runs that begin in the same second each has its own."""
    stem = f"{config.preset}-{seeds_name(config)}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, number = Path("runs") / stem, 1
    while True:
        with contextlib.suppress(FileExistsError):
            path.mkdir(parents=True)
            return path
        number += 1
        path = Path("runs") / f"{stem}-{number}"


def require_name(name: Any, field: str) -> None:
    """Raises ValueError unless it can be the name of something in a directory, and of no other."""
    is_name = isinstance(name, str) and name == Path(name).name and "\0" not in name
    is_inside = is_name and name not in ("", "..")
    require(is_inside, field, f"must be the name of a directory; got {name!r}")


def seeds_name(config: RunConfig) -> str:
    """A run's seeds, for the names of files."""
    if config.num_seeds == 1:
        return f"seed{config.seed}"
    return f"seeds{config.seed}to{config.seed + config.num_seeds - 1}"


def read_json(path: Path) -> Any:
    """A file's content.

    Raises:
      OSError: there is none, or it cannot be read.
      ValueError: it is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def write_json(path: Path, content: Any) -> None:
    """Writes a file, whole or not at all."""
    write_whole(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Writes a file, whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
