"""What a sink can do."""

from collections.abc import Mapping
from typing import Protocol


class Sink(Protocol):
    """Takes one iteration's metrics after the other."""

    def write(self, metrics: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...
