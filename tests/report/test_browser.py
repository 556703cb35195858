"""Pages in a real browser: nothing is wider than a phone, and nothing is cut off in print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swinkit.report.explained import ExplainedPage, Figure, Group, write_explained

BROWSER = pytest.mark.xdist_group("chromium")
LONG = "a" * 100


@pytest.fixture
def explained(tmp_path: Path) -> str:
    """The address of an explanation in which every name is long."""
    picture = np.zeros((40, 40, 3), np.uint8)
    figures = [Figure(picture, f"Why {LONG}?", LONG, small=small) for small in (False, True)]
    page = ExplainedPage(LONG, LONG, picture, [(LONG, 0.9)], [Group(LONG, LONG, figures)], {LONG: LONG}, [LONG * 3])
    return write_explained(tmp_path / "explain.html", page).as_uri()


@BROWSER
@pytest.mark.parametrize("width", [380, 1160])
def test_long_names_widen_no_page(browser: Any, explained: str, width: int) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 800})
    tab.goto(explained)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.close()


@BROWSER
def test_printed_commands_are_whole(browser: Any, explained: str) -> None:
    tab = browser.new_page(viewport={"width": 700, "height": 800})
    tab.goto(explained)
    tab.emulate_media(media="print")
    assert tab.evaluate("(pre => pre.scrollWidth <= pre.clientWidth)(document.querySelector('pre'))")
    tab.close()
