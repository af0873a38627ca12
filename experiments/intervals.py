"""Means and interquartile means over seeds and tasks, with stratified bootstrap intervals."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
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

    Seeds are drawn with replacement, and within every drawn seed its tasks: the seeds are the
    strata. Agarwal 2021 draws runs anew for each task instead, which suits tasks that are trained
    one by one; here all tasks of a seed share its training.

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
        tasks = rng.integers(num_tasks, size=(size, num_seeds, num_tasks))
        return statistic(scores[seeds, tasks].reshape(size, -1, num_iterations))

    drawn = [resample(min(batch, num_resamples - i)) for i in range(0, num_resamples, batch)]
    low, high = np.percentile(np.concatenate(drawn), [2.5, 97.5], axis=0)
    columns = {
        "mean": statistic(scores.reshape(1, -1, num_iterations))[0],
        "low": low,
        "high": high,
    }
    return {name: [finite_or_none(float(x)) for x in column] for name, column in columns.items()}
