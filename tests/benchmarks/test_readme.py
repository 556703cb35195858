"""The README's tables of measurements are what benchmarks/results says."""

from __future__ import annotations

import json
import re
from pathlib import Path

from benchmarks.common.render import MARKED, render

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_is_what_the_results_say():
    assert render(README, ROOT / "benchmarks" / "results") == README, "To render it anew: python -m benchmarks.common.render"


def test_every_table_has_its_benchmark():
    named = [match[2] for match in MARKED.finditer(README)]
    assert len(named) == README.count("<!-- results:") == README.count("<!-- end of results -->") > 0
    assert all((ROOT / "benchmarks" / f"{name}.py").is_file() for name in named)


def test_a_table_is_rendered_from_its_result(tmp_path):
    result = {
        "benchmark": "latency", "command": "python benchmarks/latency.py",
        "environment": {"torch": "9.9", "processor": {"name": "Chip", "usable_cores": 2, "flags": ["AVX2"]}},
        "table": {"columns": ["network", "ms"], "rows": [["a|b", "1.5"]], "notes": ["said once"]},
    }  # fmt: skip
    (tmp_path / "latency.json").write_text(json.dumps(result), encoding="utf-8")
    text = "before\n<!-- results: latency -->\nstale\n<!-- end of results -->\n<!-- results: floor -->\n<!-- end of results -->\nafter\n"
    rendered = render(text, tmp_path)
    assert "| a\\|b | 1.5 |" in rendered
    assert "stale" not in rendered
    assert "Not measured yet: `python benchmarks/floor.py`" in rendered
    assert render(rendered, tmp_path) == rendered
    assert re.search(r"`python benchmarks/latency.py` on Chip, 2 cores \(AVX2\); torch 9.9; \[raw samples\]", rendered)
