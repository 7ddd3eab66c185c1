"""A page in a real browser, without a driver: Chromium shows it in a frame and prints an answer.

The page is copied with a script at its end; the frame has the width and height of a screen, so
that the page sees a phone or a desktop, and the script's answer travels to the page around it.
"""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
DESKTOP, PHONE = (1280, 800), (390, 844)


def find_browser() -> str:
    """Return Chromium, or skip the test with what to install."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    return found


def axe() -> str:
    """Return the source of axe-core, or skip the test with what to install."""
    package = find_spec("axe_playwright_python")
    if package is None or not package.submodule_search_locations:
        pytest.skip("needs axe-core (pip install --no-deps axe-playwright-python)")
    (folder,) = package.submodule_search_locations
    return (Path(folder) / "axe.min.js").read_text(encoding="utf-8")


def ask(
    page: Path,
    question: str,
    folder: Path,
    size: tuple[int, int] = DESKTOP,
    dark: bool = False,
    library: str = "",
) -> Any:
    """Return what ``question`` (JavaScript, may await) evaluates to on ``page``.

    Parameters
    ----------
    page
        The HTML file.
    question
        An expression.
    folder
        For the copies of the page.
    size
        Width and height of the screen in CSS pixels.
    dark
        Whether the system prefers dark colours.
    library
        A script loaded before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = page.read_text(encoding="utf-8")
    ending = (
        f"<script>{library}</script><script>addEventListener('load', async () => "
        f"parent.postMessage(JSON.stringify(await ({question})), '*'))</script>\n</body>"
    )
    assert text.count("</body>") == 1
    (folder / "inner.html").write_text(text.replace("</body>", ending), encoding="utf-8")
    (folder / "outer.html").write_text(
        "<!DOCTYPE html><body><script>onmessage = event => {"
        "document.body.textContent = `ANSWER${event.data}END`}</script>"
        f'<iframe src="inner.html" style="border:0;width:{size[0]}px;height:{size[1]}px"></iframe>',
        encoding="utf-8",
    )
    flags = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
        *("--hide-scrollbars", "--window-size=1400,1000", "--virtual-time-budget=60000"),
        f"--user-data-dir={folder / 'profile'}",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
    ]
    address = (folder / "outer.html").absolute().as_uri()
    done = subprocess.run(
        [find_browser(), *flags, address], capture_output=True, text=True, timeout=120, check=False
    )
    assert "ANSWER" in done.stdout, done.stderr[-2000:]
    answer = done.stdout.split("ANSWER")[1].split("END")[0]
    return json.loads(html.unescape(answer))
