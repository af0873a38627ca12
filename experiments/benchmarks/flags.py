"""What ``make bench`` can be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.cases import MATRIX, Case, config_of
from config import PresetName
from explorax.config import require
from presets import PRESETS

SectionName = Literal[
    "ceiling", "core", "phases", "baseline", "seeds", "devices", "sweep", "matrix"
]
USUAL: tuple[SectionName, ...] = ("ceiling", "core", "phases", "baseline", "seeds")


@dataclass(frozen=True)
class BenchConfig:
    """Speed, compile time and memory of the programs that `make train` and `make skills` run."""

    sections: tuple[SectionName | Literal["all"], ...] = USUAL
    """ceiling: MuJoCo C, products of matrices. core: update and meta-test of --preset. phases:
    where an update's time goes. baseline: the same update by a host loop (MuJoCo C, PyTorch).
    seeds: runs side by side. devices: 1, 2, ... devices. sweep: environments, tasks and episodes,
    doubled until it does not pay. matrix: rollout, update and meta-test of --presets.
    all: all of them."""
    preset: PresetName = "push-maesn"
    """What all sections but the matrix are about."""
    presets: tuple[str, ...] = MATRIX
    """What the matrix is about: presets of make train and make skills. Trained skills are replaced
    by untrained ones, which take as long."""
    num_tasks: int = 0
    """Tasks per meta-update and meta-test (0: the preset's)."""
    num_episodes: int = 0
    """Episodes per task and stage, or of skills per iteration (0: the preset's)."""
    devices: int = 0
    """Most devices to use, but in the section devices; 0: every accelerator there is, else one CPU
    device per core."""
    repeats: int = 5
    """Timed calls per program, after one that is not; the median counts."""
    budget_s: float = 5.0
    """Seconds of timed calls per program after which there are no more, but two in any case."""
    sweep_points: int = 10
    """Most sizes of a sweep."""
    timeout_s: float = 900.0
    """Seconds after which a program is given up."""
    max_minutes: float = 0.0
    """Minutes after which no further program is begun (0: no limit)."""
    trace_dir: Path | None = None
    """Write profiles of the core's updates here, for Perfetto or TensorBoard."""
    out: Path = Path("runs/bench/latest.json")
    """Where the figures are written; the picture goes beside."""
    history: Path = Path("runs/bench/history.jsonl")
    """A line per benchmark, which make bench-compare reads."""

    def __post_init__(self):
        require(len(self.sections) > 0, "sections", "must name at least one")
        require(self.num_tasks >= 0, "num_tasks", "must not be negative")
        require(self.num_episodes == 0 or self.num_episodes >= 2, "num_episodes", "must be 0 or at "
                "least 2")  # fmt: skip
        require(0 <= self.devices <= 1024, "devices", "must be in 0..1024")
        require(self.repeats >= 1, "repeats", "must be at least 1")
        require(1 <= self.sweep_points <= 10, "sweep_points", "must be in 1..10")
        for name in ("budget_s", "timeout_s"):
            require(getattr(self, name) > 0, name, "must be positive")
        require(self.max_minutes >= 0, "max_minutes", "must not be negative")
        require(
            PRESETS[self.preset].train.num_iterations > 0,
            "preset",
            f"'{self.preset}' is not meta-trained; --presets has its meta-test timed",
        )
        for preset in (self.preset, *self.presets):  # of which none refuses the sizes
            config_of(Case("update", preset, self.num_tasks, self.num_episodes))
