"""What DIAYN's skills reach by themselves on the held-out tasks, as skills.json has it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from comparisons import Report, Scores
from errors import UsageError
from result_files import SkillLevels, read_result

LEVELS = {"best-skill": "best_on_average", "best-skill-tried": "best_per_task"}
"""The skill that is best on other tasks, without a trial; and the one that was best in one trial
episode of every skill on the task itself."""


def read_levels(run_dirs: Sequence[Path], other: Report) -> dict[str, Scores]:
    """Scores by level, of every seed's skills, as those of a single iteration.

    Args:
      run_dirs: the run of each seed's skills.
      other: a report of what they are drawn beside.

    Raises:
      UsageError: a skills.json is missing or unreadable, or of other tasks.
    """
    tests = [_zero_shot(run_dir / "skills.json", other) for run_dir in run_dirs]
    return {
        label: {
            score: np.array([test[name]["per_task"][score] for test in tests], float)[:, :, None]
            for score in ("return", "success")
        }
        for label, name in LEVELS.items()
    }


def _zero_shot(file: Path, other: Report) -> dict[str, Any]:
    report = read_result(file, SkillLevels)
    for name in ("env", "num_tasks"):
        if report[name] != other[name]:
            raise UsageError(f"{file}: has {name} {report[name]}, other runs have {other[name]}")
    return report["zero_shot"]
