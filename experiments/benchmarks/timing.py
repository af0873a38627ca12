"""Times one case in this process."""

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from statistics import median_low
from typing import TYPE_CHECKING, Any

from benchmarks.cases import Case
from errors import UsageError

if TYPE_CHECKING:
    from benchmarks.programs import Timed

Figures = dict[str, Any]


def figures_of(case: Case) -> Figures:
    """What a case comes to; ``error`` where it cannot be measured."""
    try:
        return _measure(case) | {"peak_host_mib": peak_host_mib()}
    except (UsageError, ValueError) as error:
        return {"error": f"not measured: {' '.join(str(error).split())}"}


def _measure(case: Case) -> Figures:
    """What measures a case's program."""
    if case.program == "host_loop":
        from benchmarks.host_loop import time_host_loop

        return time_host_loop(case)
    if case.program in ("mujoco_c", "matmul", "devices"):
        from benchmarks import ceiling

        return getattr(ceiling, case.program)(case)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["EXPLORAX_CACHE_DIR"] = cache
        return time_program(case)


def time_program(case: Case) -> Figures:
    """Seconds to set up, compile and run a jax program, and its memory."""
    from runtime import configure_jax

    start = time.perf_counter()
    if case.devices:  # on a CPU there may be more of them than cores
        flag = f"--xla_force_host_platform_device_count={case.devices}"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}"
    configure_jax(case.devices)
    from benchmarks.programs import build

    timed = build(case)
    setup_s = time.perf_counter() - start
    compiled, compile_s = compile_times(timed, case.cached)
    return {
        "steps": timed.steps,
        "num_devices": timed.num_devices,
        "policy_flops": timed.policy_flops,
        "setup_s": setup_s,
        **compile_s,
        **call_times(timed, compiled, case),
        **memory_of(compiled),
    }


def compile_times(timed: "Timed", cached: bool) -> tuple[Any, Figures]:
    """The compiled program; seconds to trace and to compile it, from scratch and from the cache."""
    import jax

    start = time.perf_counter()
    lowered = timed.fun.lower(*timed.args)
    figures = {"trace_s": time.perf_counter() - start}
    compiled = lowered.compile()
    figures["cold_compile_s"] = time.perf_counter() - start
    if cached:  # traced anew, as in a new process, then read from the disk
        jax.clear_caches()
        start = time.perf_counter()
        compiled = timed.fun.lower(*timed.args).compile()
        figures["cached_compile_s"] = time.perf_counter() - start
    return compiled, figures


def call_times(timed: "Timed", compiled: Any, case: Case) -> Figures:
    """Seconds of the calls after a first one, of which a profile is kept if asked."""
    import jax

    def call(args: tuple) -> tuple:
        return timed.next_args(args, jax.block_until_ready(compiled(*args)))

    args, seconds = repeat(call, call(timed.args), case.repeats, case.budget_s)
    if case.trace_dir is not None:
        with jax.profiler.trace(case.trace_dir):
            call(args)
    return spread_of(seconds, timed.steps)


def repeat(
    call: Callable[[Any], Any], args: Any, repeats: int, budget_s: float
) -> tuple[Any, list[float]]:
    """Seconds of ``repeats`` calls, or of as many as fit the budget: two at least, unless 1.

    Args:
      call: arguments -> arguments of the next call.
      args: of the first call.
      repeats: calls.
      budget_s: seconds after which no third call begins.
    """
    seconds: list[float] = []
    while len(seconds) < repeats and (len(seconds) < 2 or sum(seconds) < budget_s):
        start = time.perf_counter()
        args = call(args)
        seconds.append(time.perf_counter() - start)
    return args, seconds


def spread_of(seconds: list[float], steps: int) -> Figures:
    """The median (of two the lesser), which counts, and the least and the most."""
    median = median_low(seconds)
    return {
        "num_calls": len(seconds),
        "seconds": median,
        "seconds_min": min(seconds),
        "seconds_max": max(seconds),
        "steps_per_s": steps / median,
    }


def memory_of(compiled: Any) -> Figures:
    """What the compiled program needs on each device (MiB), and the most that was ever in use."""
    import jax

    analysis = compiled.memory_analysis()
    figures = {
        f"{kind}_mib": getattr(analysis, f"{kind}_size_in_bytes") / 2**20
        for kind in ("temp", "argument", "output")
        if analysis is not None
    }
    in_use = [stats.get("peak_bytes_in_use") for d in jax.devices() if (stats := d.memory_stats())]
    if in_use and None not in in_use:
        figures["peak_device_mib"] = max(in_use) / 2**20
    return figures


def peak_host_mib() -> float:
    """The most memory that this process had so far (MiB)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
