"""From the command line to a run's config, with one clear line for whatever is wrong."""

import argparse
import contextlib
import errno
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import tyro

from config import Config, RunConfig, SkillsRunConfig
from errors import INTERRUPTED, RunError, StoppedError, UsageError
from presets import PRESETS
from run_directory import RunDirectory, check_same
from skill_presets import SKILL_PRESETS

T = TypeVar("T")
C = TypeVar("C", bound=RunConfig)


class _Before(argparse.ArgumentParser):
    """Finds the flags that decide the defaults of all others."""

    def __init__(self) -> None:
        super().__init__(add_help=False, allow_abbrev=False)
        self.add_argument("--preset")
        self.add_argument("--run-dir", "--run_dir", type=Path)
        self.add_argument("--resume", action=argparse.BooleanOptionalAction, default=False)

    def error(self, message: str) -> NoReturn:
        """Says it in one line."""
        raise UsageError(message)


def parse_train(argv: Sequence[str]) -> Config:
    """``parse_run`` for runs that meta-train."""
    return parse_run(argv, PRESETS, "push-maesn")


def parse_skills(argv: Sequence[str]) -> SkillsRunConfig:
    """``parse_run`` for runs that discover skills."""
    return parse_run(argv, SKILL_PRESETS, "push-diayn")


def parse_run(argv: Sequence[str], presets: Mapping[str, C], usual: str) -> C:
    """The run that the flags ask for; with ``--resume``, the one that is in ``--run-dir``.

    Args:
      argv: the flags.
      presets: settings by name, all of one kind of run.
      usual: the preset that is meant where none is named.

    Raises:
      UsageError: one line that names the flag, field or path.
      SystemExit: after ``--help``.
    """
    before, _ = _Before().parse_known_args(argv)
    asks_help = "-h" in argv or "--help" in argv
    if before.preset is not None and before.preset not in presets:
        raise UsageError(_no_preset(before.preset, presets))
    kind = type(presets[usual])
    if not before.resume or asks_help:
        return parse(kind, argv, default=presets[before.preset or usual])
    if before.run_dir is None:
        raise UsageError("run_dir: --resume needs the directory of the run, --run-dir DIR")
    stored = RunDirectory.open(before.run_dir, kind).config
    config = parse(kind, argv, default=stored)
    check_same(stored, config, f"the run in {before.run_dir}")
    return config


def _no_preset(name: str, presets: Mapping[str, RunConfig]) -> str:
    """What is wrong with a preset's name, and which target it belongs to if any."""
    known = {**PRESETS, **SKILL_PRESETS}
    if name in known:
        return f"preset: '{name}' is a preset of make {known[name].target}"
    return f"preset: must be one of {', '.join(presets)}; got '{name}'"


def parse(kind: type[T], argv: Sequence[str], default: T | None = None) -> T:
    """``tyro.cli``, its errors as one-line UsageErrors."""
    said = io.StringIO()
    defaults: dict[str, Any] = {} if default is None else {"default": default}
    try:
        wide = _wide_terminal("-h" not in argv and "--help" not in argv)
        with wide, contextlib.redirect_stderr(said):
            return tyro.cli(kind, args=list(argv), **defaults)
    except SystemExit as stop:
        if stop.code:
            raise UsageError(_one_line(said.getvalue())) from None
        raise


@contextlib.contextmanager
def _wide_terminal(active: bool) -> Iterator[None]:
    """Keeps tyro from breaking an error's lines."""
    before = os.environ.get("COLUMNS")
    if active:
        os.environ["COLUMNS"] = "10000"
    try:
        yield
    finally:
        if before is not None:
            os.environ["COLUMNS"] = before
        elif active:
            del os.environ["COLUMNS"]


def _one_line(box: str) -> str:
    """What tyro wrote into its box: the error, and the flag that was perhaps meant."""
    inside = [line.strip("│ ") for line in box.splitlines() if line.startswith("│")]
    rules = [i for i, line in enumerate(inside) if line.startswith("─")] or [len(inside)]
    message = " ".join(inside[: rules[0]]).removeprefix("Error parsing ")
    # "a.some-group: some_group.field: expectation" is about a.some_group.field.
    message = re.sub(r"^[a-z._-]+(?=: [a-z_]+\.)", lambda m: m[0].replace("-", "_"), message)
    message = re.sub(r"^([a-z_.]*\.)?([a-z_]+): (?=\2\.)", r"\1", message)
    # A group's name before a whole field's name says nothing.
    message = re.sub(r"^[^-:][^:]*: (?=[a-z_.]+: )", "", message)
    if "Perhaps you meant:" in inside:
        meant = inside[inside.index("Perhaps you meant:") + 1].split()[0].rstrip(",")
        message += f" (perhaps you meant {meant})"
    return message


def run_main(main: Callable[[Sequence[str]], int], argv: Sequence[str] | None = None) -> int:
    """Exit code of ``main``: 2 and one line for what the user did wrong, 1 for a failed run.

    130 where it is interrupted and does not say so itself, 128 + n where signal n stopped what it
    needs.
    """
    try:
        return main(sys.argv[1:] if argv is None else argv)
    except (UsageError, RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except StoppedError as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.stopped_by
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if error.filename is None and not is_full:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"error: {where}{error.strerror}", file=sys.stderr)
        return 1 if is_full else 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
