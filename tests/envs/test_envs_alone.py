"""The environments stand alone."""

import re
from pathlib import Path

import explorax_envs


def test_no_file_imports_the_library():
    files = list(Path(explorax_envs.__file__).parent.rglob("*.py"))
    assert len(files) > 5
    for file in files:
        assert not re.search(r"^\s*(from|import)\s+explorax\b", file.read_text(), re.MULTILINE), (
            file
        )
