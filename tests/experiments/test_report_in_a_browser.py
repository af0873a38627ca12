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
def look(tmp_path):
    """Opens a page in a frame of some width; gives what is on it and what the browser says."""
    www = tmp_path / "www"
    handler = functools.partial(Quiet, directory=www)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def opened(width: int) -> tuple[dict, str]:
            (www / "look.html").write_text(LOOK.replace("WIDTH", str(width)))
            done = subprocess.run(
                [
                    str(BROWSER),
                    *("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
                    f"--user-data-dir={tmp_path / 'profile'}",
                    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                    "--virtual-time-budget=5000",
                    "--window-size=1400,1000",
                    "--dump-dom",
                    f"http://127.0.0.1:{server.server_port}/look.html",
                ],
                capture_output=True,
                text=True,
                timeout=120,
                check=True,
            )
            (said,) = re.findall(r"<pre>(.+?)</pre>", done.stdout)
            return json.loads(html.unescape(said)), done.stderr

        yield opened
        server.shutdown()


def check(seen: dict, width: int, num_images: int) -> None:
    """Nothing is wider than the frame, every picture is decoded and large, nothing was loaded."""
    assert seen["width"] <= width
    assert len(seen["images"]) == num_images
    assert all(size > 100 for size in seen["images"]), "all are decoded"
    assert all(size > 0.5 * min(width, 480) for size in seen["shown"])
    assert all(size <= width for size in seen["scrolled"])
    assert [name for name in seen["loaded"] if not name.startswith("data:")] == []


def test_a_page_fits_shows_all_and_complains_of_nothing(finished, tmp_path, look):
    out = tmp_path / "www" / "report.html"
    run = finished.rename(tmp_path / "<script>console.error(1)<")
    assert run_main(report.main, [str(run), f"--out={out}"]) == 0
    for width in (390, 1200):
        seen, log = look(width)
        check(seen, width, 5)
        assert "CONSOLE" not in log
    # what is wrong with a page would be seen: its policy forbids scripts
    out.write_text(out.read_text().replace("</body>", "<script>1</script></body>"))
    assert "CONSOLE" in look(390)[1]


def test_pages_on_skills_and_on_two_runs_fit_a_phone(skilled, tmp_path, look):
    again, out = shutil.copytree(skilled, tmp_path / "again"), tmp_path / "www" / "report.html"
    assert run_main(report.main, [str(skilled), str(again), f"--out={out}"]) == 0
    seen, log = look(390)
    check(seen, 390, 6)
    assert "CONSOLE" not in log
