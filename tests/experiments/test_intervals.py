"""Intervals of a method and of the difference of two, on scores made by hand."""

import numpy as np
import pytest

from intervals import difference, interval, mean

RNG = np.random.default_rng(1)


def width(found):
    """The deviation that an interval is of."""
    return (found["high"][0] - found["low"][0]) / (2 * 1.96)


def test_the_interval_sees_seeds_and_tasks():
    """Var = var / M + var / N of M seeds and N tasks: more seeds do not average out the tasks."""
    seeds, tasks = RNG.normal(size=(40, 1, 1)), RNG.normal(size=(1, 50, 1))
    expected = np.sqrt(seeds.var() / 40 + tasks.var() / 50)
    assert width(interval(seeds + tasks, mean)) == pytest.approx(expected, rel=0.1)
    assert width(interval(tasks, mean)) == pytest.approx(tasks.std() / np.sqrt(50), rel=0.1)
    assert interval(np.full((2, 3, 1), np.nan), mean)["low"] == [None]


def test_how_hard_a_task_is_cancels():
    """One method always 5 better: no doubt, however much tasks differ, in whatever many seeds."""
    tasks = 100 * RNG.normal(size=(1, 30, 2))
    better = difference(np.repeat(tasks + 5, 3, axis=0), np.repeat(tasks, 2, axis=0))
    for part in ("mean", "low", "high"):
        assert better[part] == pytest.approx([5.0, 5.0])
    unpaired = difference(tasks[:, ::-1] + 5, tasks)
    assert unpaired["mean"] == pytest.approx([5.0, 5.0])
    assert width(unpaired) > 10, "of other tasks it says nothing"


def test_what_a_method_does_better_on_a_task_is_not_averaged_out_by_seeds():
    """Of N tasks the deviation is that of the tasks' differences / sqrt(N), whatever the seeds."""
    gain = RNG.normal(size=(1, 60, 1))
    found = difference(np.repeat(gain, 20, axis=0), np.zeros((5, 60, 1)))
    assert width(found) == pytest.approx(gain.std() / np.sqrt(60), rel=0.1)


def test_the_seeds_of_both_count_each_by_themselves():
    """Var = var / M + var / R of M and R seeds: nothing pairs seed 0 with seed 0."""
    one, other = 2 * RNG.normal(size=(30, 1, 1)), RNG.normal(size=(50, 1, 1))
    found = difference(np.repeat(one, 4, axis=1), np.repeat(other, 4, axis=1))
    assert width(found) == pytest.approx(np.sqrt(one.var() / 30 + other.var() / 50), rel=0.1)
    same = difference(np.repeat(one, 4, axis=1), np.repeat(one, 4, axis=1))
    assert same["mean"] == [0.0]
    assert width(same) == pytest.approx(np.sqrt(2 * one.var() / 30), rel=0.1)


def test_an_adaptation_that_diverged_has_no_difference():
    scores = np.array([[[1.0, np.nan]]])
    assert difference(scores, np.zeros((1, 1, 2))) == {
        "mean": [1.0, None],
        "low": [1.0, None],
        "high": [1.0, None],
    }
