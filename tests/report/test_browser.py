"""Pages in a real browser: nothing is wider than a phone, and nothing is cut off in print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swinkit.report.explained import ExplainedPage, Figure, Group, write_explained
from swinkit.report.measures import Chapter, StudyPage, Table, write_study
from swinkit.report.plots import Curve

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


@BROWSER
def test_a_study_can_be_read_on_a_phone(browser: Any, tmp_path: Path) -> None:
    """Letters of charts keep their size, and figures of neighbouring columns do not touch."""
    curve = Curve("Latency", {"openvino, float32": [(224, 10.0), (448, 40.0)]}, wide=True)
    table = Table(("engine", "224", "448"), [("openvino", "5.186 (21.2%)", "20.742 (22.4%)")], words=1)
    page = StudyPage("What it costs", "", chapters=[Chapter("Speed", charts=[curve], tables=[table])])
    tab = browser.new_page(viewport={"width": 380, "height": 800})
    tab.goto(write_study(tmp_path / "bench.html", page).as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= 380
    letters = "[...document.querySelectorAll('svg .tick')].map(text => text.getBoundingClientRect().height)"
    assert min(tab.evaluate(letters)) >= 12
    gaps = "[...document.querySelectorAll('td:not(:last-child)')].map(cell => parseFloat(getComputedStyle(cell).paddingRight))"
    assert min(tab.evaluate(gaps)) >= 8
    one_line = "(th => th.getBoundingClientRect().height)(document.querySelector('tbody th'))"
    assert tab.evaluate(one_line) < 40, "a name is not broken inside a word"
    tab.close()
