"""A run that is killed again and again, while it saves and at other times, loses nothing."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from explorax.checksums import NAME
from stopped_runs import final_bits, metrics

SCRIPT = Path(__file__).parents[2] / "experiments" / "train.py"
NUM_KILLS = 30


def start(*flags) -> subprocess.Popen:
    """A training process; its stderr can be read."""
    command = [sys.executable, str(SCRIPT), *map(str, flags)]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, bufsize=1
    )


def finish(*flags) -> None:
    with start(*flags) as process:
        _, said = process.communicate()
    assert process.returncode == 0, said


def wait_for_training(process: subprocess.Popen) -> None:
    """Until the first chunk is done; from then on most of the time goes into saves."""
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("compiled in"):
            return
    pytest.fail("".join(said))


def is_cut_short(run_dir: Path) -> bool:
    """Whether a save did not come to its end."""
    saved = filter(Path.is_dir, (run_dir / "checkpoints").glob("*"))
    return any(not (path / NAME).exists() for path in saved)


@pytest.mark.slow
def test_killed_at_random_moments_a_run_ends_as_if_nothing_had_been(tiny, tmp_path):
    """Two kills of three come while it trains and saves, one while it starts or resumes."""
    moments = random.Random(0)
    flags = [*tiny, "--train.chunk-size=1", "--train.checkpoint-every=1"]
    flags += [f"--train.num-iterations={6 * NUM_KILLS}", "--train.devices=1"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(*flags, f"--run-dir={whole}")

    first, again = [*flags, f"--run-dir={killed}"], ["--resume", f"--run-dir={killed}"]
    cut_short, start_up = 0, 0.0
    for i in range(NUM_KILLS):
        began = time.monotonic()
        with start(*(again if i > 0 else first)) as process:
            if i % 3 == 2:
                time.sleep(moments.uniform(0.0, start_up))
            else:
                wait_for_training(process)
                start_up = time.monotonic() - began
                time.sleep(moments.uniform(0.0, 0.4))
            process.kill()
        assert process.returncode == -signal.SIGKILL
        cut_short += is_cut_short(killed)
    assert cut_short > NUM_KILLS / 5

    finish(*again)
    assert final_bits(killed) == final_bits(whole)
    assert metrics(killed) == metrics(whole)
