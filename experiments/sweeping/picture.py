"""The picture of a sweep: what its runs scored over each hyperparameter."""

from collections.abc import Sequence
from pathlib import Path

from pictures import Panel, hyperparameters
from sweeping.results import Ranked, Result, show_value
from sweeping.spec import Choices, SweepSpec


def draw(path: Path, spec: SweepSpec, results: Sequence[Result], ranked: Sequence[Ranked]) -> bool:
    """Draws the finished runs whose score is known; whether there are any."""
    metric = str(spec.metric)
    scored = [(r, score) for r in results if (score := r.scores[metric]) is not None]
    if not scored:
        return False
    drawn = [result for result, _ in scored]
    best = [any(result is of_best for of_best in ranked[0].results) for result in drawn]
    panels = [_panel(spec, name, drawn) for name in spec.fields]
    hyperparameters(path, panels, [score for _, score in scored], best, metric)
    return True


def _panel(spec: SweepSpec, name: str, results: Sequence[Result]) -> Panel:
    """Listed values side by side as they are listed, numbers of a range on its scale."""
    domain, values = spec.fields[name], [result.entry.fields[name] for result in results]
    if isinstance(domain, Choices):
        ticks = [show_value(value) for value in domain.values]
        return Panel(name, [domain.values.index(value) for value in values], ticks)
    return Panel(name, values, log=domain.log)
