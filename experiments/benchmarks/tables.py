"""A benchmark's sections as tables."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks import derived
from benchmarks.derived import Row, value
from benchmarks.history import Document

COLUMNS = ("steps/s", "of MuJoCo C", "s", "cold compile s", "cached s", "host MiB", "device MiB",
           "temp MiB")  # fmt: skip


def of_section(name: str, document: Document) -> RenderableType:
    """What a section has measured."""
    return TABLES[name](document["sections"][name], document)


def number(x: float | None, form: str = ",.0f") -> str:
    """A figure, or nothing."""
    return "" if x is None else f"{x:{form}}"


def mujoco_of(document: Document) -> Row | None:
    """MuJoCo C on the scene of the preset, if it was measured."""
    return document["rows"].get(document["sections"].get("ceiling", {}).get("mujoco_c"))


def table_of(title: str, columns: Sequence[str]) -> Table:
    """An empty table whose first column is of names."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(columns[0], overflow="fold")
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def programs(title: str, names: Sequence[str], document: Document) -> RenderableType:
    """A row per program: speed, compile times, memory; or why it was not measured."""
    mujoco = mujoco_of(document)
    return of_rows(title, {name: (document["rows"][name], mujoco) for name in names})


def of_rows(title: str, rows: Mapping[str, tuple[Row, Row | None]]) -> RenderableType:
    """``programs``, each beside MuJoCo C; without the columns that have nothing in them."""
    lines = {name: figures(*pair) for name, pair in rows.items()}
    kept = [c for c in COLUMNS if any(line[c] for line in lines.values())]
    table = table_of(title, ("program", *kept))
    for name, line in lines.items():
        table.add_row(name, *(line[column] for column in kept))
    return Group(table, *(failed(name, row) for name, (row, _) in rows.items() if "error" in row))


def failed(name: str, row: Row) -> Text:
    """Why a program was not measured."""
    return Text(f"{name}: {row['error']}", style="red")


def figures(row: Row, mujoco: Row | None) -> dict[str, str]:
    """The cells of a row, by COLUMNS."""
    return {
        "steps/s": number(value(row, "steps_per_s")),
        "of MuJoCo C": number(derived.of_mujoco(row, mujoco), ".2f"),
        "s": number(value(row, "seconds"), ".3f"),
        "cold compile s": number(value(row, "cold_compile_s"), ".1f"),
        "cached s": number(value(row, "cached_compile_s"), ".1f"),
        "host MiB": number(value(row, "peak_host_mib")),
        "device MiB": number(value(row, "peak_device_mib")),
        "temp MiB": number(value(row, "temp_mib")),
    }


def ceiling(section: dict[str, Any], document: Document) -> RenderableType:
    """MuJoCo C, and products of matrices."""
    table = table_of("Ceilings of this machine", ("", "per second", "measured with"))
    matmul, mujoco = (document["rows"][section[name]] for name in ("matmul", "mujoco_c"))
    flops = value(matmul, "flops_per_s")
    side, threads = value(matmul, "side"), value(mujoco, "threads")
    table.add_row(
        "float32 products, all devices",
        matmul.get("error") or f"{number(flops and flops / 1e9)} GFLOP",
        f"matrices of {side} x {side}",
    )
    table.add_row(
        f"MuJoCo C open loop: {section['mujoco_c']}",
        mujoco.get("error") or f"{number(value(mujoco, 'steps_per_s'))} steps",
        f"{threads} threads",
    )
    return table


def core(section: dict[str, Any], document: Document) -> RenderableType:
    """Updates and meta-test."""
    return programs("Whole programs", section["rows"], document)


def phases(section: dict[str, Any], document: Document) -> RenderableType:
    """The parts of an update, and their shares of it."""
    table = programs("Parts of an update, each within the next", section["rows"], document)
    shares = table_of(
        "Where an update's time goes (differences of the least seconds of these programs)",
        ("phase", *section["shares"]),
    )
    for meaning in derived.MEANINGS.values():
        found = [s[meaning] if s else None for s in section["shares"].values()]
        shares.add_row(meaning, *("below the noise" if x == 0 else number(x, ".0%") for x in found))
    matmul = document["rows"].get(document["sections"].get("ceiling", {}).get("matmul"))
    used = table_of("FLOP/s of the policy's network", ("program", "GFLOP/s", "of the products'"))
    for name, row in document["rows"].items():
        flops = value(row, "policy_flops")
        if flops and row["case"]["preset"] == document["flags"]["preset"]:
            per_s = flops / row["seconds"] / 1e9
            used.add_row(name, number(per_s, ".1f"), number(derived.of_matmul(row, matmul), ".1%"))
    return Group(table, shares, used)


def baseline(section: dict[str, Any], document: Document) -> RenderableType:
    """The host loops, and how many times as fast the update is."""
    table = table_of(
        "The same update by a host loop: MuJoCo C and PyTorch. Ours is so many times as fast:",
        ("host loop", "steps/s", "s", "sampling s", "learning s", "whole", "sampling", "learning"),
    )
    for name, ratios in section["ratios"].items():
        row = document["rows"][name]
        seconds = (value(row, figure) for figure in ("seconds", "sampling_s", "learning_s"))
        table.add_row(
            name,
            number(value(row, "steps_per_s")),
            *(number(x, ".2f") for x in seconds),
            *(number(x, ".1f") for x in ratios.values()),
        )
    rows = {name: document["rows"][name] for name in section["rows"]}
    wholes = [
        (ratios["whole"], rows[name]["case"]["optimizer"])
        for name, ratios in section["ratios"].items()
        if ratios["whole"] is not None and not rows[name]["case"]["batched"]
    ]
    said = "beside the fastest that steps as the older code bases do ('batched' does not): "
    return Group(
        table,
        *(failed(name, row) for name, row in rows.items() if "error" in row),
        f"{said}{min(wholes)[0]:.1f} times as fast, by {min(wholes)[1]}\n" if wholes else "",
    )


def seeds(section: dict[str, Any], document: Document) -> RenderableType:
    """Runs side by side."""
    table = programs("Seeds in one program", list(section["rows"].values()), document)
    costs = table_of(
        "Cost of n runs in one program, in units of n runs one after the other",
        ("seeds", "updates alone", "whole training, with set-up and compiling"),
    )
    for count, cost in section["costs"].items():
        costs.add_row(count, number(cost["update"], ".2f"), number(cost["run"], ".2f"))
    return Group(table, *([costs] if section["costs"] else []), knee_of("seeds", section["knee"]))


def devices(section: dict[str, Any], document: Document) -> RenderableType:
    """The update on several devices."""
    names = list(section["rows"].values())
    return programs(f"Devices, {section['tasks']} tasks shared among them", names, document)


def sweep(section: dict[str, Any], document: Document) -> RenderableType:
    """Sizes that were doubled."""
    parts: list[RenderableType] = []
    for axis, found in section.items():
        parts.append(programs(f"Sweep of {axis}", list(found["rows"].values()), document))
        parts.append(knee_of(axis, found["knee"]))
    return Group(*parts)


def knee_of(axis: str, knee: int | None) -> str:
    """In a line."""
    what = {"environments": "episodes per task", "episodes": "episodes per task"}.get(axis, axis)
    return f"knee: {'not measured' if knee is None else f'{knee} {what}'}\n"


def matrix(section: dict[str, Any], document: Document) -> RenderableType:
    """Every method on every suite."""
    rows = document["rows"]
    pairs = {
        name: (rows[name], rows.get(found.get("mujoco_c")))
        for found in section.values()
        for name in (*found["rows"], *([found["mujoco_c"]] if "mujoco_c" in found else []))
    }
    return of_rows("Every method and suite, by their presets", pairs)


TABLES: dict[str, Callable[[dict[str, Any], Document], RenderableType]] = {
    "ceiling": ceiling,
    "core": core,
    "phases": phases,
    "baseline": baseline,
    "seeds": seeds,
    "devices": devices,
    "sweep": sweep,
    "matrix": matrix,
}
