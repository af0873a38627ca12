"""What the READMEs print runs, and what they name exists."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
import yaml

from cli import parse_skills, parse_train
from sweeping.spec import spec_from

ROOT = Path(__file__).parents[1]
FILES = [ROOT / "README.md", ROOT / "experiments" / "README.md"]
both = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))


def blocks(file: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", file.read_text(), re.DOTALL)


def test_the_example_learns_to_adapt(capsys):
    """A new environment and MAESN on it: adapted episodes get nearer to the goal."""
    names: dict = {"__name__": "readme"}
    exec("\n".join(blocks(FILES[0], "python")), names)
    before, after = map(float, capsys.readouterr().out.split()[-2:])
    assert after > before + 1.0
    line = names["Line"](reward="sparse")  # as the command line makes it, and as Brax resets it
    assert line.step(line.reset(jax.random.key(0)), jnp.zeros(1)).reward < 0


def anchors(file: Path) -> set[str]:
    """Of a file's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@both
def test_links_lead_somewhere(file):
    named = re.findall(r"\]\((?!https?:)([^)]*)\)", file.read_text())
    assert named
    for link in named:
        path, _, anchor = link.partition("#")
        target = file.parent / path if path else file
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@both
def test_commands_are_understood(file):
    """Targets exist; presets and flags of trainings are parsed, but for those of a run on disk."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(blocks(file, "sh"))
    for flags in re.findall(r"experiments/train\.py (.*?)(?: &)?$", text, re.MULTILINE):
        parse_train(shlex.split(flags))
    lines = re.findall(r"^make (.*)$", text, re.MULTILINE)
    assert lines
    for line in lines:
        target, *rest = shlex.split(line, comments=True)
        assert target in targets, line
        given = dict(word.split("=", 1) for word in rest)
        flags = shlex.split(given.get("ARGS", ""))
        if target in ("train", "skills") and "--resume" not in flags:
            preset = [f"--preset={given['PRESET']}"] if "PRESET" in given else []
            {"train": parse_train, "skills": parse_skills}[target]([*preset, *flags])


def test_a_sweep_is_understood():
    (text,) = blocks(FILES[1], "yaml")
    assert spec_from(yaml.safe_load(text)).vmap == ("seed",)


def test_every_module_has_its_place():
    """In the tree, and the methods beside their papers."""
    text = FILES[0].read_text()
    (tree,) = re.findall(r"```\n(src/explorax/ .*?)```", text, re.DOTALL)
    library = ROOT / "src" / "explorax"
    for path in library.iterdir():
        if path.suffix == ".py" and path.stem != "__init__":
            assert path.name in tree, path
        elif path.is_dir() and path.name != "__pycache__":
            assert f"{path.name}/" in tree, path
    for path in (library / "algos").glob("[a-z]*.py"):
        assert re.search(rf"\b{path.stem}\b", tree), path
        assert f"`algos/{path.name}`" in text, path
    for name in re.findall(r"`([\w/]+\.py)`", text[text.index("| method |") :]):
        assert any((ROOT / room / name).is_file() for room in ("", "src/explorax", "envs")), name


def definitions() -> Iterator[tuple[str, str]]:
    """Every test, and what it is marked as: slow, partly slow, or nothing."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        body = ast.parse(path.read_text()).body
        whole_file = any(ast.unparse(node) == "pytestmark = pytest.mark.slow" for node in body)
        for node in body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                marks = [ast.unparse(mark) for mark in node.decorator_list]
                in_part = any("pytest.mark.slow" in mark for mark in marks)
                is_slow = whole_file or "pytest.mark.slow" in marks
                yield node.name, "slow" if is_slow else "partly slow" if in_part else ""


def test_tests_that_they_name_exist():
    """And are marked as slow where they are."""
    text = "".join(file.read_text() for file in FILES)
    found = re.findall(r"`(test_\w+)`(?: \((slow|partly slow)\))?", text)
    assert len(found) > 10
    known = set(definitions())
    for name, mark in found:
        assert (name, mark) in known, (name, mark)
