"""Where tables are printed."""

from rich.console import Console

WIDTH = 140
"""Characters of a line where there is no terminal."""


def wide_console() -> Console:
    """Standard output; in a file or a pipe as wide as tables are."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)
