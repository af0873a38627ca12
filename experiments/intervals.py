"""Means and interquartile means over seeds and tasks, and differences, with bootstrap intervals."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from explorax.sinks import finite_or_none

Statistic = Callable[[Float[np.ndarray, "B MN S"]], Float[np.ndarray, "B S"]]
Interval = dict[str, list[float | None]]


def mean(scores: Float[np.ndarray, "B MN S"]) -> Float[np.ndarray, "B S"]:
    """Over seeds and tasks."""
    return np.mean(scores, axis=1)


def interquartile_mean(scores: Float[np.ndarray, "B MN S"]) -> Float[np.ndarray, "B S"]:
    """Of the middle half of seeds and tasks (Agarwal 2021, arXiv 2108.13264, section 4.3)."""
    return stats.trim_mean(scores, 0.25, axis=1)


def interval(
    scores: Float[np.ndarray, "M N S"],
    statistic: Statistic,
    num_resamples: int = 2000,
    batch: int = 100,
) -> Interval:
    """A statistic of M seeds and N tasks at S iterations, and its 95% percentile interval.

    Seeds are drawn with replacement, and so are tasks, once for all seeds of a resample: every seed
    is tested on the same tasks, so more seeds do not average out which tasks were held out.
    Drawing both separately makes the interval rather too wide than too narrow (Owen 2007, The
    pigeonhole bootstrap, Annals of Applied Statistics 1). Agarwal 2021 draws runs anew for each
    task instead, which suits a fixed set of tasks that are trained one by one.

    Args:
      scores: of every seed, task and iteration.
      statistic: over seeds and tasks.
      num_resamples: of the bootstrap.
      batch: how many of them to hold in memory.

    Returns:
      ``mean``, ``low`` and ``high`` at each iteration; None where a score is not finite.
    """
    num_seeds, num_tasks, num_iterations = scores.shape
    rng = np.random.default_rng(0)

    def resample(size: int) -> Float[np.ndarray, "B S"]:
        seeds = rng.integers(num_seeds, size=(size, num_seeds, 1))
        tasks = rng.integers(num_tasks, size=(size, 1, num_tasks))
        return statistic(scores[seeds, tasks].reshape(size, -1, num_iterations))

    found = statistic(scores.reshape(1, -1, num_iterations))[0]
    return _percentiles(found, resample, num_resamples, batch)


def difference(
    scores: Float[np.ndarray, "M N S"],
    reference: Float[np.ndarray, "R N S"],
    num_resamples: int = 2000,
    batch: int = 100,
) -> Interval:
    """How much higher the mean of one method is than another's, and its 95% interval.

    The seeds of the two have nothing to do with each other, and are drawn independently. The tasks
    are the same for both, and are drawn once per resample for both, as in ``interval``: how hard a
    task is cancels.

    Args:
      scores: of every seed, task and iteration.
      reference: the other method's, on the same tasks in the same order.
      num_resamples: of the bootstrap.
      batch: how many of them to hold in memory.

    Returns:
      As ``interval``.
    """
    num_tasks = scores.shape[1]
    rng = np.random.default_rng(0)

    def of_drawn(method: Float[np.ndarray, "M N S"], tasks: Int[np.ndarray, "B 1 N"]):
        seeds = rng.integers(len(method), size=(len(tasks), len(method), 1))
        return np.mean(method[seeds, tasks], axis=(1, 2))

    def resample(size: int) -> Float[np.ndarray, "B S"]:
        tasks = rng.integers(num_tasks, size=(size, 1, num_tasks))
        return of_drawn(scores, tasks) - of_drawn(reference, tasks)

    found = np.mean(scores, axis=(0, 1)) - np.mean(reference, axis=(0, 1))
    return _percentiles(found, resample, num_resamples, batch)


def _percentiles(
    found: Float[np.ndarray, " S"],
    resample: Callable[[int], Float[np.ndarray, "B S"]],
    num_resamples: int,
    batch: int,
) -> Interval:
    """What was found, and the middle 95% of what is found in resamples, ``batch`` at a time."""
    drawn = [resample(min(batch, num_resamples - i)) for i in range(0, num_resamples, batch)]
    low, high = np.percentile(np.concatenate(drawn), [2.5, 97.5], axis=0)
    columns = {"mean": found, "low": low, "high": high}
    return {name: [finite_or_none(float(x)) for x in column] for name, column in columns.items()}
