"""A thousand updates need no more memory, files and programs than the first of them."""

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import pytest

from cli import parse_skills, parse_train
from compilations import compilations
from config import RunConfig
from explorax.checkpoint import Checkpoints
from explorax.sinks import JsonlSink, read_jsonl
from explorax.train import Callbacks, Schedule, fit
from learners import first_state, set_up

UPDATES, FIRST = 1_000, 200
"""In all; and after how many it is looked first: everything has been done once by then."""
MOST_MIB = 8
"""Of growth between the two looks."""

POINT = [
    "--preset=point-maesn",
    "--env.name=point",
    "--meta.num-train-tasks=4",
    "--meta.meta-batch-size=2",
    "--meta.num-episodes=2",
    "--meta.hidden-sizes=4",
    "--meta.ppo.num-epochs=1",
]
SKILLS = [
    "--preset=point-diayn",
    "--skills.num-skills=3",
    "--skills.num-train-tasks=4",
    "--skills.num-episodes=2",
    "--skills.num-gradient-steps=2",
    "--skills.batch-size=4",
    "--skills.replay-size=200",
    "--skills.hidden-sizes=4",
]
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="memory is read from Linux's /proc"
)


class Look(NamedTuple):
    """What a process holds."""

    mib: float  # of its memory that is resident
    arrays: int
    files: int
    programs: int  # compiled since the start


def look(compiled: list[str]) -> Look:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    mib = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return Look(mib, len(jax.live_arrays()), len(os.listdir("/proc/self/fd")), len(compiled))


def looks_while_training(config: RunConfig, directory: Path) -> dict[int, Look]:
    """Trains with checkpoints and a file of metrics; looks after some of the checkpoints."""
    setup, looks = set_up(config), {}
    sink = JsonlSink(directory / "metrics.jsonl")
    with compilations() as compiled, Checkpoints(directory / "checkpoints") as checkpoints:

        def save(step: int, state) -> None:
            checkpoints.save(step, state, {})
            if step >= FIRST:
                looks[step] = look(compiled)

        write: Callable = lambda rows: sink.write(rows[0])  # noqa: E731
        schedule = Schedule(UPDATES, chunk_size=20, checkpoint_every=FIRST)
        fit(setup.learner, first_state(config, setup), setup.mesh, schedule, Callbacks(write, save))
    sink.close()
    assert len(read_jsonl(directory / "metrics.jsonl")) == UPDATES
    return looks


@pytest.mark.parametrize(
    ("parse", "flags"),
    [
        pytest.param(parse_train, POINT, id="maesn"),
        pytest.param(parse_skills, SKILLS, id="skills", marks=pytest.mark.slow),
    ],
)
def test_a_thousand_updates_grow_nothing(parse, flags, tmp_path):
    looks = looks_while_training(parse([*flags, "--train.devices=1"]), tmp_path)
    first, last = looks[FIRST], looks[UPDATES]
    assert first.programs > 0
    assert last.programs == first.programs
    assert last.arrays == first.arrays
    assert last.files == first.files
    assert last.mib - first.mib < MOST_MIB
