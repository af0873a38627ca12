"""Reads a page of HTML as far as tests look at it."""

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image

VOID = {"meta", "link", "img", "source", "br"}
LOADS = ("src", "srcset", "href", "poster", "data")


class Html(HTMLParser):
    """Tags that were opened and closed in order, and what they say."""

    def __init__(self, text: str):
        """Reads everything; raises AssertionError where tags do not nest."""
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.captions: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "all are closed"

    def handle_starttag(self, tag, attrs):
        """Remembers it."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        """Has to close the last one."""
        assert self._open.pop() == tag

    def handle_data(self, data):
        """What stands right within a tag."""
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all tags of a name."""
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        """All that a person reads."""
        hidden = {"style", "script"}
        return " ".join(t for tag, texts in self.texts.items() if tag not in hidden for t in texts)

    @property
    def loaded(self) -> list[str]:
        """All addresses from which a browser would load, but for jumps within the page."""
        found = [value for _, attrs in self.tags for name, value in attrs.items() if name in LOADS]
        return [address for address in found if address and not address.startswith("#")]


def read(path: Path) -> Html:
    """The page in a file."""
    return Html(path.read_text(encoding="utf-8"))


def images(page: Html) -> list[Image.Image]:
    """All pictures of a page, decoded."""
    found = []
    for address in page.loaded:
        head, comma, content = address.partition(",")
        if content:
            assert (head, comma) in {(f"data:image/{kind};base64", ",") for kind in ("png", "gif")}
            image = Image.open(io.BytesIO(base64.b64decode(content, validate=True)))
            image.load()
            found.append(image)
    return found
