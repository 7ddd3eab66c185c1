"""The results page of a finished study in a real browser: accessible, and quickly at a result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from project_copy import Project
from report_browser import DESKTOP, PHONE, ask, axe, find_browser

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

VIOLATIONS = """axe.run({resultTypes: ['violations']}).then(found => found.violations.map(rule =>
    `${rule.id}: ${rule.help}: ` + rule.nodes.map(node => node.html.slice(0, 120)).join(' ')))"""


@pytest.fixture(scope="module")
def page(finished: Project) -> Path:
    find_browser()
    return finished.folder / "results/tiny/report/index.html"


@pytest.mark.parametrize(("size", "dark"), [(DESKTOP, False), (PHONE, True)])
def test_axe_finds_nothing(page: Path, tmp_path: Path, size: tuple[int, int], dark: bool) -> None:
    assert ask(page, VIOLATIONS, tmp_path, size, dark, library=axe()) == []


def test_the_first_result_is_on_the_first_screen(page: Path, tmp_path: Path) -> None:
    """Measured from the top of the page to the bottom of the first verdict."""
    question = "document.querySelector('.verdict').getBoundingClientRect().bottom"
    assert ask(page, question, tmp_path) < DESKTOP[1] / 2


def test_verdicts_are_seen_on_a_phone_and_the_page_is_no_wider(page: Path, tmp_path: Path) -> None:
    found: dict[str, Any] = ask(
        page,
        """({verdicts: [...document.querySelectorAll('.verdict')].map(
            chip => chip.getBoundingClientRect().right),
            width: document.documentElement.scrollWidth, dark: matchMedia(
            '(prefers-color-scheme: dark)').matches, paper: getComputedStyle(document.body)
            .backgroundColor})""",
        tmp_path,
        PHONE,
        dark=True,
    )
    assert len(found["verdicts"]) >= 7
    assert max(found["verdicts"]) <= PHONE[0]
    assert found["width"] <= PHONE[0]
    assert found["dark"]
    assert found["paper"] == "rgb(22, 24, 28)"
