"""The runs that the figure of a suite is drawn from; what is missing of them is trained."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from config import Config, flatten, settings_id, to_json
from errors import RunError, UsageError
from presets import PRESETS, SUITES, SuiteName, decaying
from run_directory import RunDirectory

Budget = Literal["small", "paper"]

ENV_STEPS: dict[Budget, dict[SuiteName, int]] = {
    "small": {"push": 24_000_000, "wheeled": 24_000_000, "ant": 48_000_000},
    # 500 iterations of 20 tasks and 50 episodes, before and after adaptation
    "paper": {"push": 100_000_000, "wheeled": 200_000_000, "ant": 200_000_000},
}
"""Environment steps of meta-training, the same for all methods of a suite."""

HORIZON: dict[SuiteName, int] = {"push": 100, "wheeled": 200, "ant": 200}
"""Control steps per episode."""


def configs(suite: SuiteName, budget: Budget, num_seeds: int) -> list[Config]:
    """One run of several seeds per method."""
    steps = ENV_STEPS[budget][suite]
    runs = [replace(at_steps(c, steps, HORIZON[suite]), num_seeds=num_seeds) for c in SUITES[suite]]
    return runs if budget == "small" else [as_in_paper(run) for run in runs]


def at_steps(config: Config, env_steps: int, horizon: int) -> Config:
    """Meta-trained for so many environment steps, its step size falling to 0; or not at all."""
    if config.train.num_iterations == 0:
        return config
    num_iterations = max(1, round(env_steps / config.meta.steps_per_update(horizon)))
    return decaying(config.preset, num_iterations, config.meta, env=config.env)


def as_in_paper(config: Config) -> Config:
    """100 meta-test iterations, and the paper's blocks with as many solver steps as they need."""
    shape = "box" if config.env.name == "push" else config.env.block_shape
    env = replace(config.env, physics="exact", block_shape=shape)
    return replace(config, env=env, metatest=replace(config.metatest, num_iterations=100))


def train_missing(wanted: Sequence[Config], root: Path) -> list[Path]:
    """Trains, continues or leaves alone every run; each has ``root``/PRESET.

    Returns:
      The runs' directories.

    Raises:
      UsageError: a directory has another run.
      RunError: one ended before its end; those before it are kept.
    """
    paths = [root / config.preset for config in wanted]
    commands = [_command(config, path) for config, path in zip(wanted, paths, strict=True)]
    for path, command in zip(paths, commands, strict=True):
        if command is None:
            print(f"{path}: is there", file=sys.stderr)
            continue
        print(" ".join(["python", *command]), file=sys.stderr)
        with _passing_signals_on([sys.executable, *command]) as child:
            code = child.wait()
        if code != 0:
            goes_on = "; the same command goes on from there" if code < 0 or code > 128 else ""
            raise RunError(f"{path}: its training ended with exit code {code}{goes_on}")
    return paths


def _command(config: Config, path: Path) -> list[str] | None:
    """What to run for ``config`` to be in ``path``; None where it is."""
    script = str(Path(__file__).with_name("train.py"))
    if not path.exists():
        flags = [f"--preset={config.preset}", f"--run-dir={path}", *changed_flags(config)]
        return [script, *flags]
    run = RunDirectory.open(path)
    identity = lambda c: (settings_id(c), c.seed, c.num_seeds)  # noqa: E731
    if identity(run.config) != identity(config):
        raise UsageError(f"{path}: is a run of other settings or seeds; move it away")
    done = all(_is_tested(member) for member in run.members())
    return None if done else [script, "--resume", f"--run-dir={path}"]


def changed_flags(config: Config) -> list[str]:
    """The flags that turn a preset into ``config``."""
    usual = flatten(to_json(PRESETS[config.preset]))
    changed = {k: v for k, v in flatten(to_json(config)).items() if v != usual[k]}
    flags = []
    for name, value in changed.items():
        values = value if isinstance(value, tuple) else (value,)
        flags += [f"--{name.replace('_', '-')}", *map(str, values)]
    return flags


def _is_tested(run: RunDirectory) -> bool:
    """Whether the meta-test after training was written, and is of the sizes that belong to it."""
    file = run.path / "metatest.json"
    if not file.exists():
        return False
    test = asdict(run.config.metatest)
    wanted = {**test, "tasks": None, "meta_iteration": run.config.train.num_iterations}
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        found = {name: report[name] for name in wanted}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file}: cannot be read ({error!r}); move it away") from error
    if found != wanted:
        raise UsageError(f"{file}: is of another meta-test; move it away")
    return True


@contextmanager
def _passing_signals_on(command: Sequence[str]) -> Iterator[subprocess.Popen]:
    """A child process that is told to stop when this one is, and may take its time over it."""
    child = subprocess.Popen(command)
    pass_on = lambda number, _: child.send_signal(number)  # noqa: E731
    actions = dict.fromkeys((signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP), pass_on)
    # A terminal sends SIGINT to both by itself.
    before = {number: signal.signal(number, action) for number, action in actions.items()}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
        for number, action in before.items():
            signal.signal(number, action)
