"""Runs that something else needs: each is trained, continued or left alone, by a child process."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from config import Config, RunConfig, SkillsRunConfig
from config_json import flatten, settings_id, to_json
from errors import INTERRUPTED, RunError, StoppedError, UsageError
from presets import PRESETS
from run_directory import RunDirectory, read_json
from skill_presets import SKILL_PRESETS


def train_missing(wanted: Mapping[Path, RunConfig]) -> list[Path]:
    """Trains, continues or leaves alone the run of every directory.

    Returns:
      The runs' directories.

    Raises:
      UsageError: a directory has another run.
      StoppedError: a signal has stopped one, as this process was told to stop.
      RunError: one ended before its end for another reason. Those before it are kept.
    """
    commands = {path: command_of(config, path) for path, config in wanted.items()}
    goes_on = "the same command goes on from there"
    for i, (path, command) in enumerate(commands.items(), start=1):
        said = "is there" if command is None else " ".join(["python", *command])
        print(f"[{i}/{len(commands)}] {path}: {said}", file=sys.stderr)
        if command is None:
            continue
        with _passing_signals_on([sys.executable, *command]) as (child, told):
            code = child.wait()
        if told and code in (0, INTERRUPTED, *(-number for number in told)):
            raise StoppedError(f"{path}: stopped by {told[0].name}; {goes_on}", told[0])
        if code != 0:
            hint = f"; {goes_on}" if code < 0 or code > 128 else ""
            raise RunError(f"{path}: its training ended with exit code {code}{hint}")
        if command_of(wanted[path], path) is not None:
            raise RunError(f"{path}: its training was stopped before its end; {goes_on}")
    return list(commands)


def command_of(config: RunConfig, path: Path) -> list[str] | None:
    """What Python has to run for ``config`` to be in ``path``; None where it is.

    Raises:
      UsageError: the directory has another run.
    """
    script = str(Path(__file__).with_name(f"{config.target}.py"))
    if not path.exists() or not any(path.iterdir()):  # empty: stopped before it wrote anything
        flags = [f"--preset={config.preset}", f"--run-dir={path}", *changed_flags(config)]
        return [script, *flags]
    run = RunDirectory.open(path)
    identity = lambda c: [(settings_id(m), m.seed) for m in c.members()]  # noqa: E731
    if identity(run.config) != identity(config):
        raise UsageError(f"{path}: is a run of other settings or seeds; move it away")
    return None if is_finished(run) else [script, "--resume", f"--run-dir={path}"]


def changed_flags(config: RunConfig) -> list[str]:
    """The flags that turn a preset into ``config``."""
    presets = SKILL_PRESETS if isinstance(config, SkillsRunConfig) else PRESETS
    usual = flatten(to_json(presets[config.preset]))
    changed = {k: v for k, v in flatten(to_json(config)).items() if v != usual[k]}
    flags = []
    for name, value in changed.items():
        flags += _flag(name.replace("_", "-"), value)
    return flags


def _flag(name: str, value: Any) -> list[str]:
    """A flag and its values; the group of a switch, not the switch, has the ``no`` before it."""
    if isinstance(value, bool):
        group, dot, switch = name.rpartition(".")
        return [f"--{group}{dot}{'' if value else 'no-'}{switch}"]
    values = value if isinstance(value, tuple) else (value,)
    return [f"--{name}", *map(str, values)]


def is_finished(run: RunDirectory) -> bool:
    """Whether a run is trained and tested, with all its seeds.

    Raises:
      UsageError: as ``is_tested``.
    """
    return all(is_tested(member) for member in run.members())


def is_tested(run: RunDirectory) -> bool:
    """Whether the test after training was written, and is of the sizes that belong to it.

    Raises:
      UsageError: another test was, or something unreadable.
    """
    name, sizes = _test_of(run.config)
    file = run.path / name
    if not file.exists():
        return False
    wanted = sizes | {"meta_iteration": run.config.train.num_iterations}
    try:
        report = read_json(file)
        found = {name: report[name] for name in wanted}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file}: cannot be read ({error!r}); move it away") from error
    if found != wanted:
        raise UsageError(f"{file}: is of another test; move it away")
    return True


def _test_of(config: RunConfig) -> tuple[str, dict[str, Any]]:
    """The file of the test after training, and what it says of the test's sizes."""
    if isinstance(config, SkillsRunConfig):
        return "skills.json", asdict(config.evaluation)
    assert isinstance(config, Config)
    return "metatest.json", {**asdict(config.metatest), "tasks": None}


@contextmanager
def _passing_signals_on(
    command: Sequence[str],
) -> Iterator[tuple[subprocess.Popen, list[signal.Signals]]]:
    """A child process that is told to stop when this one is, and may take its time over it.

    Yields:
      The child, and the signals that have told this process to stop so far.
    """
    child, told = subprocess.Popen(command), []

    def pass_on(number: int, _: Any) -> None:
        told.append(signal.Signals(number))
        if number != signal.SIGINT:  # a terminal sends that to both by itself
            child.send_signal(number)

    numbers = (signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield child, told
    finally:
        if child.poll() is None:
            child.terminate()
        for number, action in before.items():
            signal.signal(number, action)
