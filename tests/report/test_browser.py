"""The report in a real browser: the script runs without an error, the slider moves the points, nothing is blank."""

import io
import os
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr",
]  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome on the PATH"),
]

# What a reader would do: drag the slider to the middle; then say what the page shows.
DRAG = """<script>
const range = document.querySelector("#motion input");
range.value = 500; range.dispatchEvent(new Event("input"));
document.body.dataset.wide = document.documentElement.scrollWidth > innerWidth;
</script></body>"""


def browse(page, folder, *flags):
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, page]
    environment = os.environ | {"HOME": str(folder)}
    done = subprocess.run(command, capture_output=True, timeout=90, env=environment, check=False)
    errors = [line for line in done.stderr.decode(errors="replace").splitlines() if "CONSOLE" in line]
    return done.stdout.decode(), errors


def look(page, folder, *flags, width=1280):
    picture = folder / "picture.png"
    browse(page, folder, f"--screenshot={picture}", f"--window-size={width},3400", *flags)
    return np.asarray(Image.open(io.BytesIO(picture.read_bytes())).convert("L"), dtype=float)


@pytest.mark.parametrize("kind", ["plane", "space", "images"])
def test_script_runs_and_slider_moves(kind, pages, tmp_path):
    page = tmp_path / "report.html"
    page.write_text(pages(kind).replace("</body>", DRAG))
    dom, errors = browse(page.as_uri(), tmp_path, "--dump-dom", "--window-size=1280,900")
    assert errors == [] and "data-error" not in dom
    assert 'data-ready="yes"' in dom and ">t = 0.50</output>" in dom and 'aria-valuetext="t = 0.50"' in dom
    assert 'data-wide="false"' in dom  # nothing sticks out to the right
    assert '<figure id="motion">' in dom and 'id="copy" type="button">' in dom  # shown once the script runs


@pytest.mark.parametrize("kind", ["plane", "images"])
def test_the_figure_follows_the_slider(kind, pages, tmp_path):
    page = tmp_path / "report.html"
    page.write_text(pages(kind))
    start, end = (look(f"{page.as_uri()}#t={t}", tmp_path) for t in (0, 1))
    assert start.std() > 10  # not blank
    assert 1e-3 < (np.abs(start - end) > 30).mean() < 0.5  # the slider's figure changes, the rest stays


def test_dark_on_a_phone_and_without_javascript(pages, tmp_path):
    page = tmp_path / "report.html"
    page.write_text(pages("plane").replace("script-src 'unsafe-inline'", "script-src 'none'"))
    picture = look(page.as_uri(), tmp_path, "--blink-settings=preferredColorScheme=0", width=500)
    assert picture.mean() < 90 and picture.std() > 10
