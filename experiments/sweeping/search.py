"""Which settings a sweep tries: all of a list, or what tpe asks for next."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from errors import UsageError
from sweeping.settings import Setting, listed, programs
from sweeping.spec import Choices, Domain, SweepSpec

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


class Trial(NamedTuple):
    """A setting that is tried, or several that are one program."""

    number: int
    settings: Sequence[Setting]


class Search(Protocol):
    """Asks for trials and is told what came of them."""

    num_trials: int  # in all

    def known(self) -> Sequence[Trial]:
        """Trials that are sure to be run, before any was asked for."""
        ...

    def ask(self) -> Trial | None:
        """The next trial, None after the last one. An interrupted one is asked for again."""
        ...

    def tell(self, number: int, value: float | None) -> None:
        """What a trial scored; None: it failed."""
        ...


class ListSearch:
    """One program after the other."""

    def __init__(self, of_programs: Sequence[Sequence[Setting]]):
        self._trials = [Trial(i, settings) for i, settings in enumerate(of_programs)]
        self._next = iter(self._trials)
        self.num_trials = len(self._trials)

    def known(self) -> Sequence[Trial]:
        """All."""
        return self._trials

    def ask(self) -> Trial | None:
        """The next in the list."""
        return next(self._next, None)

    def tell(self, number: int, value: float | None) -> None:
        """Changes nothing."""


class TpeSearch:
    """Optuna's tree-structured Parzen estimator, all that it knows in a journal file."""

    def __init__(self, spec: SweepSpec, journal: Path):
        """Goes on from the journal, if it is there.

        Args:
          spec: of method tpe.
          journal: the file.

        Raises:
          UsageError: it cannot be read.
        """
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        assert spec.num_runs is not None
        self._spec, self.num_trials = spec, spec.num_runs
        self._space = {name: _distribution(domain) for name, domain in spec.fields.items()}
        _mend(journal)
        try:
            storage = JournalStorage(JournalFileBackend(str(journal)))
            self._study = optuna.create_study(
                study_name="sweep", storage=storage, direction="maximize", load_if_exists=True
            )
            is_open = filter(self._is_open, self._asked())
            self._interrupted = [self._trial(found) for found in is_open]
        except Exception as error:  # Optuna raises whatever a damaged line leads to
            raise UsageError(f"{journal}: cannot be read ({error!r})") from error

    def known(self) -> Sequence[Trial]:
        """Trials that an earlier sweep asked for without reporting a score."""
        return tuple(self._interrupted)

    def ask(self) -> Trial | None:
        """A trial that an earlier sweep left open, else the one that the estimator thinks best."""
        from optuna.samplers import TPESampler

        if self._interrupted:
            return self._interrupted.pop(0)
        if len(self._asked()) >= self.num_trials:
            return None
        # A seed per trial: with one for all, a continued sweep would draw the first ones again.
        number = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = TPESampler(seed=(self._spec.search_seed + number) % 2**32)
        asked = self._study.ask(self._space)
        return Trial(asked.number, [self._setting(asked.params)])

    def tell(self, number: int, value: float | None) -> None:
        """Writes a trial's score into the journal."""
        from optuna.trial import TrialState

        if value is None:
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._study.tell(number, value)

    def _asked(self) -> "list[FrozenTrial]":
        """All trials but those that were cut short while they were asked for."""
        trials = self._study.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.params.keys() == self._space.keys()]

    def _is_open(self, trial: "FrozenTrial") -> bool:
        return not trial.state.is_finished()

    def _trial(self, found: "FrozenTrial") -> Trial:
        return Trial(found.number, [self._setting(found.params)])

    def _setting(self, params: dict[str, Any]) -> Setting:
        """A trial's parameters as a setting; to Optuna a listed value is its place in the list."""
        domains = self._spec.fields
        return {
            name: domain.values[params[name]] if isinstance(domain, Choices) else params[name]
            for name, domain in domains.items()
        }


def _mend(journal: Path) -> None:
    """Drops a last line that was cut short: Optuna reads over it, and would write on behind it.

    Raises:
      UsageError: another line is no JSON.
    """
    if not journal.exists():
        return
    *lines, rest = journal.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{journal}: line {number} cannot be read ({error})") from error
    if rest:
        journal.write_bytes(b"".join(line + b"\n" for line in lines))


def _distribution(domain: Domain) -> "BaseDistribution":
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(domain, Choices):
        return CategoricalDistribution(range(len(domain.values)))
    if domain.int:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log)
    return FloatDistribution(domain.low, domain.high, log=domain.log)


def search_of(spec: SweepSpec, journal: Path) -> Search:
    """The search that ``method`` names.

    Raises:
      ValueError: ``field: expectation``.
    """
    if spec.method == "tpe":
        return TpeSearch(spec, journal)
    return ListSearch(programs(spec, listed(spec)))
