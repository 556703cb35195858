"""The tables of docs/explanation/claims.md, written from experiments/results/*.json.

python -m experiments.table            # write them anew
python -m experiments.table --check    # exit code 1 if the page is not what the results say
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from .mechanism import RESULTS

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "claims.md"
MARKED = re.compile(r"(<!-- results: (\w+) -->\n)(.*?)(<!-- end of results -->)", re.DOTALL)


def table(result: dict[str, Any]) -> str:
    """Markdown of one experiment: a row per claim, then the command and what it ran with."""
    rows = ["| claim | difference (95 % interval) | verdict |", "|---|---|---|"]
    for claim in result["claims"]:
        mean, low, high = (claim["difference"][key] for key in ("mean", "low", "high"))
        reach = "" if low in (None, high) else f" ({low:+.4f} to {high:+.4f})"
        rows.append(f"| {claim['text']}. {claim['paper']} | {mean:+.4f}{reach} | {claim['verdict']} |")
    plan = result.get("budget") or result["plan"]
    seeds = f"{plan['seeds']} seeds"
    if f"top-1 with {(more := plan.get('labels', (0,))[-1])} labels" in result.get("summary", {}) and more != plan["labels"][0]:
        seeds += f" with {plan['labels'][0]} labels, {plan['more_seeds']} with {more:,}"
    said = f"`{result['command']}`: {seeds}, {result['data']}, torch {result['versions']['torch']}"
    return "\n" + "\n".join(rows) + f"\n\n{said}; [every run](../../experiments/results/{result['experiment']}.json).\n\n"


def render(text: str, results: Path = RESULTS) -> str:
    """``text`` with every marked table made anew; one whose results are absent says which command makes them."""

    def fill(match: re.Match[str]) -> str:
        path = results / f"{match[2]}.json"
        absent = f"\nNot run to its end yet: `python -m experiments.{match[2]}`.\n\n"
        return match[1] + (table(json.loads(path.read_text("utf-8"))) if path.is_file() else absent) + match[4]

    return MARKED.sub(fill, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    found = PAGE.read_text("utf-8")
    wanted = render(found)
    if check and found != wanted:
        raise SystemExit(f"{PAGE.name} is not what the results say. Mend: python -m experiments.table")
    if not check:
        PAGE.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
