"""The README's code runs as it is printed."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp

ROOT = Path(__file__).parents[1]


def test_the_example_learns_to_adapt(capsys):
    """A new environment and MAESN on it: adapted episodes get nearer to the goal."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names: dict = {"__name__": "readme"}
    exec("\n".join(blocks), names)
    before, after = map(float, capsys.readouterr().out.split()[-2:])
    assert after > before + 1.0
    line = names["Line"](reward="sparse")  # as the command line makes it, and as Brax resets it
    assert line.step(line.reset(jax.random.key(0)), jnp.zeros(1)).reward < 0


def test_files_that_it_names_exist():
    text = (ROOT / "README.md").read_text()
    named = re.findall(r"\]\(([^)h][^)]*)\)", text)
    assert named
    for path in named:
        assert (ROOT / path).is_file(), path


def test_tests_that_it_names_exist():
    named = re.findall(r"`(test_\w+)`", (ROOT / "README.md").read_text())
    assert len(named) > 10
    source = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for name in named:
        assert f"def {name}(" in source, name
