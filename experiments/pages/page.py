"""A page of HTML that loads nothing: text, tables and pictures in sections, all in one file."""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import IO, ClassVar, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"
MIME = {".png": "image/png", ".gif": "image/gif"}


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Table:
    """Cells by row; the first of a row is its head."""

    kind: ClassVar[str] = "table"
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: bool = True
    """Whether cells are numbers, which are set to the right."""


@dataclass(frozen=True)
class Picture:
    """An image, with others in its place where a media query holds."""

    kind: ClassVar[str] = "picture"
    source: str
    """A data URI."""
    alt: str
    caption: str = ""
    others: Sequence[tuple[str, str]] = ()
    """Media queries, each with a data URI; the first that holds is shown."""
    size: Literal["small", "full", "wide"] = "full"
    """Two small ones stand side by side where there is room; a wide one, whose panels would be too
    small on a phone, is scrolled there."""


@dataclass(frozen=True)
class Details:
    """A table that is folded away."""

    kind: ClassVar[str] = "details"
    summary: str
    table: Table


Block = Text | Table | Picture | Details


@dataclass(frozen=True)
class Section:
    """What there is to say about one thing."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Part:
    """Sections on one run, or on all of them."""

    title: str
    about: str
    sections: Sequence[Section]


@dataclass(frozen=True)
class Page:
    """The whole file."""

    title: str
    parts: Sequence[Part]
    run_ids: Sequence[str]
    """Ids of the runs that it is about: a page on the same runs may take its place."""


def render(page: Page) -> str:
    """The page as HTML; whatever it holds is escaped."""
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template("page.html").render(page=page, mark=mark(page.run_ids)) + "\n"


def mark(run_ids: Sequence[str]) -> str:
    """A tag in the head of a page that says which runs it is about."""
    return f'<meta name="explorax-runs" content="{escape(" ".join(sorted(run_ids)))}">'


def is_about(path: Path, run_ids: Sequence[str]) -> bool:
    """Whether a file is a page on these runs.

    Raises:
      OSError: it cannot be read.
    """
    return mark(run_ids) in path.read_text(encoding="utf-8", errors="replace")


def data_uri(content: bytes, mime: str) -> str:
    """A file within an address."""
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def from_file(path: Path) -> str:
    """The data URI of a picture."""
    return data_uri(path.read_bytes(), MIME[path.suffix])


def drawn(draw: Callable[[IO[bytes]], None]) -> str:
    """The data URI of the PNG that ``draw`` writes."""
    png = io.BytesIO()
    draw(png)
    return data_uri(png.getvalue(), "image/png")
