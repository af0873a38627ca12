"""What the files that runs end with have to hold, checked where they are read."""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from errors import UsageError
from run_directory import read_json

Number = float | None
"""None where an adaptation diverged, or where one task has no interval."""
OfTasks = list[list[Number]]
"""A row per held-out task, a column per meta-test iteration."""


class Part(BaseModel):
    """Some of what a JSON object holds; of no other types than said."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class Curve(Part):
    """A score by meta-test iteration, mean over tasks."""

    mean: list[Number] = Field(min_length=1)


class Band(Curve):
    """The same with an interval."""

    low: list[Number]
    high: list[Number]


class Scored(Part):
    """The curves of a metatest.json alone."""

    return_: Curve = Field(alias="return")
    success: Curve


class Bands(Part):
    """Both scores with intervals."""

    return_: Band = Field(alias="return")
    success: Band


class TaskScores(Part):
    """Both scores of every task."""

    return_: OfTasks = Field(alias="return", min_length=1)
    success: OfTasks = Field(min_length=1)


class Level(Part):
    """Both scores, of what does not adapt."""

    return_: float = Field(alias="return")
    success: float


class MetaTest(Bands):
    """A metatest.json."""

    preset: str
    env: str
    seed: int
    settings_id: str
    meta_iteration: int
    num_tasks: int
    num_episodes: int
    num_iterations: int
    tasks: str | None
    do_nothing: Level
    per_task: TaskScores

    @model_validator(mode="after")
    def _has_every_iteration(self) -> Self:
        bands, tasks = (self.return_, self.success), (self.per_task.return_, self.per_task.success)
        rows = [row for band in bands for row in (band.mean, band.low, band.high)]
        rows += [row for table in tasks for row in table]
        if any(len(row) != self.num_iterations + 1 for row in rows):
            raise ValueError("a curve does not have num_iterations + 1 points")
        if any(len(table) != self.num_tasks for table in tasks):
            raise ValueError("per_task does not have num_tasks rows")
        return self


class Estimate(Part):
    """A mean and its interval."""

    mean: Number
    low: Number
    high: Number


class SingleTaskScores(Part):
    """Both scores of every task, of what does not adapt."""

    return_: list[float] = Field(alias="return")
    success: list[float]


class Chosen(Part):
    """Scores of one way to choose a skill."""

    return_: Estimate = Field(alias="return")
    success: Estimate
    per_task: SingleTaskScores


class ZeroShot(Part):
    """Skills on held-out tasks."""

    do_nothing: Level
    best_on_average: Chosen
    best_per_task: Chosen


class SkillLevels(Part):
    """The part of a skills.json that is drawn beside other methods."""

    env: str
    num_tasks: int
    zero_shot: ZeroShot


class Accuracy(Part):
    """How often the discriminator names a numbered skill correctly."""

    last_step: float
    chance: float


class Displacement(Part):
    """How far skills move everything that moves."""

    largest: list[float] = Field(min_length=1)


class Acceptance(Part):
    """The part of a skills.json that says whether skills are fit for a controller."""

    accepted: dict[str, bool] | None = None  # by test; none of continuous skills


class SkillTest(Part):
    """A skills.json."""

    num_skills: int
    num_tasks: int
    num_episodes: int
    accuracy: Accuracy | None
    distinct_skills: Number
    displacement_m: Displacement
    zero_shot: ZeroShot


def read_result(file: Path, kind: type[Part]) -> dict[str, Any]:
    """The JSON object in a file, which holds what ``kind`` says, and maybe more.

    Raises:
      UsageError: it is missing or unreadable, or something in it is missing or wrong.
    """
    try:
        found = read_json(file)
        kind.model_validate(found)
    except FileNotFoundError:
        raise UsageError(f"{file}: is missing") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise UsageError(f"{file}: {where}: {first['msg']}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: cannot be read ({error})") from None
    return found
