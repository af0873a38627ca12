"""Doubling a size until it no longer pays."""

from collections.abc import Callable, Mapping, Sequence

from benchmarks.derived import Row

WORTH = 1.1
"""A doubling pays where steps/s grow by this much."""


def to_the_knee(
    measure: Callable[[int], Row], first: int, points: int, at_least: int = 0
) -> dict[int, Row]:
    """Rows by size: ``first``, twice that, ... until two doublings in a row did not pay.

    One alone may be noise: the same program differs by a tenth from minute to minute.

    Args:
      measure: size -> row with ``steps_per_s``, or ``error`` where it could not be measured.
      first: the smallest size.
      points: the most sizes.
      at_least: no doubling up to this size is left out because those before did not pay.
    """
    rows: dict[int, Row] = {}
    size, best, vain = first, 0.0, 0
    for _ in range(points):
        rows[size] = row = measure(size)
        if "error" in row:
            break
        vain = 0 if row["steps_per_s"] >= WORTH * best else vain + 1
        if vain >= 2 and size >= at_least:
            break
        size, best = 2 * size, max(best, row["steps_per_s"])
    return rows


def knee(rows: Mapping[int, Row]) -> int | None:
    """The smallest size within a tenth of the most steps/s; None where none was measured."""
    speeds = {size: row["steps_per_s"] for size, row in rows.items() if "error" not in row}
    enough = max(speeds.values(), default=0.0) / WORTH
    return min((size for size, speed in speeds.items() if speed >= enough), default=None)


def doublings(most: int) -> Sequence[int]:
    """1, 2, 4, ... up to ``most``, which comes last."""
    sizes = [2**i for i in range(most.bit_length()) if 2**i < most]
    return (*sizes, most)
