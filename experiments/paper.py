"""The paper's figures, to draw beside ours."""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "results" / "paper.json"


def paper_curves(suite: str) -> dict[str, Any] | None:
    """What the paper reports on a suite; None where it has no such suite."""
    return json.loads(FILE.read_text(encoding="utf-8"))["suites"].get(suite)
