"""The README's tables of measurements, rendered from benchmarks/results/*.json between their markers.

python -m benchmarks.common.render            # write the README anew
python -m benchmarks.common.render --check    # exit code 1 if it is not what the results say
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MARKED = re.compile(r"(<!-- results: (\w+) -->\n)(.*?)(<!-- end of results -->)", re.DOTALL)


def table(result: dict[str, Any]) -> str:
    """Markdown of one benchmark: its table, its notes, the command and the machine."""
    content = result["table"]
    lines = [content["columns"], ["---"] * len(content["columns"]), *content["rows"]]
    written = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)
    said = content["notes"] + (["**Stopped before its end**: more is to be measured."] if result.get("unfinished") else [])
    notes = "".join(f"\n{note}" for note in said)
    environment, processor = result["environment"], result["environment"]["processor"]
    versions = ", ".join(
        f"{name} {environment[name]}"
        for name in ("torch", "timm", "transformers", "openvino", "onnxruntime")
        if environment.get(name)
    )
    origin = (
        f"`{result['command']}` on {processor['name']}, {processor['usable_cores']} cores ({', '.join(processor['flags'] or ['flags unknown'])}); {versions}; "
        f"[raw samples](benchmarks/results/{result['benchmark']}.json)."
    )
    return f"\n{written}\n{notes}\n\n{origin}\n\n"


def render(text: str, results: Path) -> str:
    """``text`` with every marked table made anew; one whose results are absent says which command makes them."""

    def fill(match: re.Match[str]) -> str:
        path = results / f"{match[2]}.json"
        known = path.is_file() and "table" in (content := json.loads(path.read_text(encoding="utf-8")))
        body = table(content) if known else f"\nNot measured yet: `python benchmarks/{match[2]}.py`.\n\n"
        return match[1] + body + match[4]

    return MARKED.sub(fill, text)


def main() -> None:
    path = ROOT / "README.md"
    before = path.read_text(encoding="utf-8")
    after = render(before, ROOT / "benchmarks" / "results")
    if "--check" in sys.argv[1:]:
        sys.exit(f"{path} is not what the results say; python -m benchmarks.common.render" if after != before else 0)
    path.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
