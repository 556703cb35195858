"""The tables in benchmarks/results anew from the samples beside them, where the form of a table changed; nothing is measured.

python -m benchmarks.common.retable && python -m benchmarks.common.render
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from swinkit.weights.atomic import write_json

from .render import RESULTS, ROOT


def retable(path: Path) -> bool:
    """Whether the table of the results at ``path`` changed."""
    before = json.loads(path.read_text(encoding="utf-8"))
    after = {**before, "table": importlib.import_module(before["benchmark"]).table(before["cases"]).to_dict()}
    if after != before:
        write_json(path, after)
    return after != before


def main() -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))  # where the scripts find what they share
    for path in sorted(RESULTS.rglob("*.json")):
        if retable(path):
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
