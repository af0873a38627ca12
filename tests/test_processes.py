"""Two processes of one device each compute what one process of two devices does."""

import json
from pathlib import Path

import process_worker
import several


def test_two_processes_train_to_the_same_state_as_one():
    """And stop after the same chunk, though a signal comes to one of them alone."""
    alone = json.loads(json.dumps(process_worker.outcome()))
    assert len(alone["metrics"]) == 6
    for said in several.finished([Path(process_worker.__file__)]):
        assert json.loads(said.splitlines()[-1]) == alone
