"""Counting what XLA compiles, and what a program asks of its host."""

import contextlib
import re
from collections.abc import Iterator

import jax


def host_operations(lowered: jax.stages.Lowered) -> list[str]:
    """Operations of a program that call back into Python or exchange data with the host."""
    return re.findall(
        r"\w*callback\w*|\w*(?:infeed|outfeed)\w*|stablehlo\.(?:send|recv)", lowered.as_text()
    )


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """One entry for every program that is compiled inside."""
    compiled: list[str] = []

    def listen(event: str, duration: float, **_: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield compiled
    finally:
        jax.monitoring.clear_event_listeners()
