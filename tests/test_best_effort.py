"""Logs that break are left alone, after one line."""

from pathlib import Path

import pytest

from explorax.sinks import BestEffort, Results
from lines import metrics

RESULTS = Results({"meta_iteration": 1, "env_steps": 1}, {}, {}, {"picture": Path("picture.png")})


class Log:
    """Remembers what it is told, and refuses one thing."""

    def __init__(self, told: list, broken: str):
        self.told, self.broken = told, broken

    def write(self, metrics):
        self.take("write")

    def write_results(self, results):
        self.take("write_results")

    def close(self, exit_code):
        self.take("close")

    def take(self, what):
        self.told.append(what)
        if what == self.broken:
            raise RuntimeError("it is\nbroken.")


def use(logs: BestEffort) -> None:
    for i in (1, 2):
        logs.write([metrics(i), metrics(i)])
    logs.write_results([RESULTS, RESULTS])
    logs.close(0)


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("nothing", [*["write"] * 4, *["write_results"] * 2, *["close"] * 2]),
        ("write", ["write", "close", "close"]),
        ("write_results", [*["write"] * 4, "write_results", "close", "close"]),
        ("close", [*["write"] * 4, *["write_results"] * 2, "close"]),
    ],
)
def test_the_first_failure_is_said_and_ends_the_logs(broken, told):
    said, heard = [], []
    use(BestEffort("name", [Log(heard, broken), Log(heard, broken)], said.append))
    assert heard == told
    line = "name: it is broken; the run goes on without, metrics.jsonl has it all"
    assert said == ([] if broken == "nothing" else [line])


def test_logs_that_cannot_be_opened_are_done_without():
    said, heard = [], []

    def opened():
        yield Log(heard, "nothing")
        raise OSError(28, "No space left on device")

    use(BestEffort("name", opened(), said.append))
    assert heard == ["close"]
    assert len(said) == 1
