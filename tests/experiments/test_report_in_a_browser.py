"""The page in a real browser, where there is one: nothing is wider than a phone, or broken."""

import functools
import html
import http.server
import json
import re
import shutil
import subprocess
import threading

import pytest

import report
from cli import run_main

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)

pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"needs one of {', '.join(NAMES)}")

LOOK = """<!doctype html><title>look</title><pre></pre>
<iframe src="report.html" style="width: WIDTHpx; height: 900px; border: 0"></iframe>
<script>
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentWindow;
  page.document.querySelectorAll("details").forEach(one => { one.open = true; });
  const images = [...page.document.images];
  document.querySelector("pre").textContent = JSON.stringify({
    width: page.document.documentElement.scrollWidth,
    images: images.map(image => image.naturalWidth),
    shown: images.map(image => image.getBoundingClientRect().width),
    loaded: page.performance.getEntriesByType("resource").map(entry => entry.name),
    scrolled: [...page.document.querySelectorAll(".scroll")].map(one => one.clientWidth),
  });
});
</script>
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Writes no log."""

    def log_message(self, format, *args):
        """Says nothing."""


@pytest.fixture
def served(finished, tmp_path):
    """Where a browser finds the page, and what looks at it, on this machine."""
    name = "<script>console.error(1)<"
    run = finished.rename(tmp_path / name)
    assert run_main(report.main, [str(run), f"--out={tmp_path / 'www' / 'report.html'}"]) == 0
    handler = functools.partial(Quiet, directory=tmp_path / "www")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path / "www", f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("width", [390, 1200])
def test_a_page_fits_shows_all_and_complains_of_nothing(served, tmp_path, width):
    folder, address = served
    (folder / "look.html").write_text(LOOK.replace("WIDTH", str(width)))
    done = subprocess.run(
        [
            str(BROWSER),
            *("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            f"--user-data-dir={tmp_path / 'profile'}",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--virtual-time-budget=5000",
            "--window-size=1400,1000",
            "--dump-dom",
            f"{address}/look.html",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr
    (said,) = re.findall(r"<pre>(.+?)</pre>", done.stdout)
    seen = json.loads(html.unescape(said))
    assert seen["width"] <= width
    assert len(seen["images"]) == 5
    assert all(size > 100 for size in seen["images"]), "all are decoded"
    assert all(size > 0.5 * min(width, 480) for size in seen["shown"])
    assert all(size <= width for size in seen["scrolled"])
    assert [name for name in seen["loaded"] if not name.startswith("data:")] == []
