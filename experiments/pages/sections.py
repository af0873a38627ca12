"""What a page says of any run: settings, pictures, speed, and what it was trained with."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any, Literal

import provenance
from comparisons import metrics_of
from config_json import flatten, to_json
from pages.page import Block, Details, Picture, Section, Table, Text, drawn, from_file
from presets import PRESETS
from run_directory import RunDirectory
from skill_presets import SKILL_PRESETS

NARROW = "(max-width: 40rem)"
"""Media query of screens on which panels are stacked."""
STILL = "(prefers-reduced-motion: reduce)"
"""Media query of readers who want no animations."""
UNKNOWN = "unknown"

Size = Literal["small", "wide"]
Records = Sequence[Mapping[str, Any]]


def own_name(run: RunDirectory[Any], runs: Sequence[RunDirectory[Any]]) -> str:
    """The name of a run's directory, or its path if another's has the same name."""
    name, *names = (one.path.resolve().name for one in (run, *runs))
    return name if names.count(name) == 1 else str(run.path)


def heading(what: str, runs: Sequence[RunDirectory[Any]]) -> str:
    """Above a page."""
    return f"{what}: {', '.join(own_name(run, runs) for run in runs)}"


def about(run: RunDirectory) -> str:
    """Which run it is."""
    seeds = [str(member.config.seed) for member in run.members()]
    plural = "s" if len(seeds) > 1 else ""
    config = run.config
    return (
        f"{config.preset} on {config.env.name}, seed{plural} {', '.join(seeds)}; "
        f"run {run.run_id} in {run.path}"
    )


def configuration(run: RunDirectory) -> Section:
    """What differs from the preset, then everything."""
    settings = flatten(to_json(run.config))
    usual = flatten(to_json((PRESETS | SKILL_PRESETS)[run.config.preset]))
    changed = [
        (name, shown(value), shown(usual[name]))
        for name, value in settings.items()
        if value != usual[name]
    ]
    preset = run.config.preset
    blocks: list[Block] = [Text(f"All settings are those of the preset {preset}.")]
    if changed:
        head = ("field", "this run", "the preset")
        blocks = [Table(f"What differs from the preset {preset}", head, changed, numbers=False)]
    rows = [(name, shown(value)) for name, value in settings.items()]
    everything = Table("Every field", ("field", "value"), rows, numbers=False)
    return Section("Configuration", [*blocks, Details("All settings", everything)])


def shown(value: Any) -> str:
    """A setting."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)


def whose(run: RunDirectory, member: RunDirectory) -> str:
    """Below a picture, where the run has several seeds."""
    return f"seed {member.config.seed}" if run.config.num_seeds > 1 else ""


def chart(draw: Callable[..., None], alt: str, caption: str = "") -> Picture:
    """What one of ``pictures``' functions draws, its panels side by side where there is room."""
    beside, below = (drawn(partial(draw, stacked=stacked)) for stacked in (False, True))
    return Picture(beside, alt, caption, others=[(NARROW, below)])


def training(
    run: RunDirectory, draw: Callable[..., None], alt: Callable[[Records], str], nothing: str
) -> Section:
    """Learning curves of every seed.

    Args:
      run: whose.
      draw: one of ``pictures``' functions of records.
      alt: the curves of a seed's records in words.
      nothing: what is said where there are none.
    """
    blocks: list[Block] = []
    for member in run.members():
        records = metrics_of(member.path)
        if records:
            of_seed = partial(draw, records=records)
            blocks.append(chart(of_seed, alt(records), whose(run, member)))
    return Section("Training", blocks or [Text(nothing)])


def picture_of(path: Path, alt: str, caption: str, size: Size) -> Block:
    """A picture that a run has left, a still one for who wants no motion; or that there is none."""
    if not path.exists():
        return Text(f"{path.name} was not drawn{f' ({caption})' if caption else ''}.")
    still = path.with_suffix(".png")
    moves = path.suffix == ".gif" and still.exists()
    others = [(STILL, from_file(still))] if moves else []
    return Picture(from_file(path), alt, caption, others, size)


def speed(run: RunDirectory) -> Section:
    """Steps, steps per second and time of a run, all seeds together."""
    of_members = [metrics_of(member.path) for member in run.members()]
    if not all(of_members):
        return Section("Speed", [Text("Nothing was trained, so no steps were counted.")])
    first, num_seeds = of_members[0], len(of_members)
    last = first[-1]
    rate = sum(median(numbers(records, "steps_per_s")) for records in of_members)
    steps = num_seeds * last["env_steps"]
    rows = [
        ("iterations", f"{last['meta_iteration']:,}"),
        ("environment steps", f"{steps:,.0f}"),
        ("steps per second, median of all iterations", f"{rate:,.0f}"),
        ("wall time of training", duration(last["wall_s"])),
        ("of this until the first iteration, mostly compiling", f"{compiling(first):.1f} s"),
    ]
    together = f", {num_seeds} seeds in one program" if num_seeds > 1 else ""
    return Section("Speed", [Table(f"Training{together}", ("", "value"), rows)])


def numbers(records: Records, name: str) -> list[float]:
    """A metric, where it is finite."""
    return [record[name] for record in records if record.get(name) is not None]


def compiling(records: Records) -> float:
    """Seconds before the first iteration: the clock counts them to the time, not to the speed."""
    first = records[0]
    per_iteration = first["env_steps"] / first["meta_iteration"]
    return max(0.0, first["wall_s"] - per_iteration / first["steps_per_s"])


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))


def versions(run: RunDirectory) -> Section:
    """Packages, commit and machine, a column for every change on the way."""
    entries = provenance.recorded(run)
    if not entries:
        text = f"Packages, commit and machine are {UNKNOWN}: the run's version did not record them."
        return Section("Versions", [Text(text)])
    starts = [entry["from_iteration"] for entry in entries]
    if starts[0] > 0:  # it began before this was recorded
        entries, starts = [{}, *entries], [0, *starts]
    head = ["", *(f"from iteration {start}" for start in starts)]
    head = head if len(entries) > 1 else ["", "value"]
    columns = [
        {"explorax commit": entry.get("commit"), "Python": entry.get("python")}
        | {name: entry.get("versions", {}).get(name) for name in provenance.PACKAGES}
        | {name: entry.get(name) for name in ("devices", "processor", "cores")}
        for entry in entries
    ]
    rows = [(name, *(str(c[name] or UNKNOWN) for c in columns)) for name in columns[0]]
    return Section("Versions", [Table("What it was trained with", head, rows, numbers=False)])


def score(mean: float | None, low: float | None, high: float | None, percent: bool = False) -> str:
    """A mean and its interval, as in ``-250.1 (-266.3 .. -235.0)`` or ``76% (70 .. 82)``."""
    if mean is None:
        return "diverged"
    factor, digits = (100.0, 0) if percent else (1.0, 1)
    unit = "%" if percent else ""
    interval = ""
    if low is not None and high is not None:
        interval = f" ({factor * low:.{digits}f} .. {factor * high:.{digits}f})"
    return f"{factor * mean:.{digits}f}{unit}{interval}"


def at_the_end(records: Records, name: str, count: int = 10) -> str:
    """A metric's mean over the last iterations, for who cannot see the curve."""
    values = numbers(records[-count:], name)
    return f"{fmean(values):.2f}" if values else UNKNOWN
