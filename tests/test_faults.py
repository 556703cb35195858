"""Every fault of ``docs/faults.md`` has tests named for it, and every such test has its row."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_fault_has_tests_and_every_test_its_row() -> None:
    table = {
        int(number) for number in re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "faults.md").read_text("utf-8"), re.MULTILINE)
    }
    sources = (path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    tested = {int(number) for source in sources for number in re.findall(r"^def test_fault_(\d+)_", source, re.MULTILINE)}
    assert {*range(1, 23), 38} <= table
    assert tested == table
