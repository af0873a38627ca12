"""What can be known of accelerators without one: every program lowers for them as it is."""

import pytest

from benchmarks.cases import MATRIX, Case, programs_of
from benchmarks.programs import build
from compilations import host_operations

QUICK = ("push-maesn", "update")
CASES = [
    (preset, program)
    for preset in MATRIX
    if preset.startswith("push-") or preset in ("wheeled-maesn", "ant-maesn")
    for program in programs_of(preset)
    if program != "rollout"  # a part of an update
]


@pytest.mark.parametrize(
    ("preset", "program"),
    [pytest.param(*case, marks=() if case == QUICK else pytest.mark.slow) for case in CASES],
)
def test_programs_lower_for_accelerators(preset, program):
    """In one piece, in float32, and with nothing that only a host could do."""
    timed = build(Case(program, preset=preset))
    traced = timed.fun.trace(*timed.args)
    for platform in ("cuda", "tpu"):
        lowered = traced.lower(lowering_platforms=(platform,))
        assert not host_operations(lowered)
        text = lowered.as_text()
        assert "f32" in text
        assert "f64" not in text
