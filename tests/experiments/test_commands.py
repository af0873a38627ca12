"""A command between its parent and its log."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import commands
from commands import is_locked, lock
from waiting import wait_until

SAVES = """
import signal, sys, time
def save(number, _):
    time.sleep(0.5)
    print("saved after", signal.Signals(number).name, flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("began", flush=True)
time.sleep(20)
"""

ATTENDS = "import sys; from commands import attend; print(attend(sys.argv[3:], *sys.argv[1:3]))"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def attend(code: str, log: Path) -> subprocess.Popen:
    """A process that attends to a program."""
    return subprocess.Popen(
        [*python(ATTENDS), str(log), str(log.parent), *python(code)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(commands.__file__).parent,
    )


@pytest.fixture
def attending(tmp_path):
    """One whose program saves when it is told to stop."""
    log = tmp_path / "log"
    process = attend(SAVES, log)
    wait_until(lambda: log.exists() and "began" in log.read_text().splitlines(), 20)
    yield process, log
    process.kill()
    process.communicate()


def test_the_log_takes_what_is_printed(tmp_path):
    log = tmp_path / "log"
    log.write_text("before\n")
    code = "import os, sys; print(os.getcwd()); print('no', file=sys.stderr); sys.exit(3)"
    assert attend(code, log).communicate(timeout=20)[0] == "3\n"
    first, *command, place, error = log.read_text().splitlines()
    assert (first, place, error) == ("before", str(tmp_path), "no")
    assert " ".join(command).startswith(sys.executable)
    assert not is_locked(log)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR2])
def test_a_command_saves_when_its_parent_is_told_to_stop(attending, number):
    process, log = attending
    assert is_locked(log)
    process.send_signal(number)
    process.send_signal(signal.SIGTERM)  # a cluster may say it in two ways
    assert process.communicate(timeout=20)[0] == "preempted\n"
    assert log.read_text().count("saved after SIGTERM") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell of a parent's death")
def test_a_command_saves_when_its_parent_is_killed(attending):
    process, log = attending
    process.kill()
    wait_until(lambda: not is_locked(log), 20)
    assert "saved after SIGTERM" in log.read_text()


def test_what_still_writes_into_the_log_is_waited_for(tmp_path):
    log = tmp_path / "log"
    with log.open("a") as file:
        assert lock(file)
        left = subprocess.Popen(["sleep", "0.5"], stdout=file)
    assert attend("", log).communicate(timeout=20)[0] == "0\n"
    assert left.poll() == 0
