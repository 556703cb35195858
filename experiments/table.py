"""The tables of docs/explanation/claims.md, written from experiments/results/*.json.

python -m experiments.table            # write them anew
python -m experiments.table --check    # exit code 1 if the page is not what the results say
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.common.render import filled, main, markdown

RESULTS = Path(__file__).with_name("results")
PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "claims.md"


def table(name: str, result: dict[str, Any]) -> str:
    """Markdown of the experiment ``name``: a row per claim, then the command and what it ran with."""
    rows = [["claim", "difference (95 % interval)", "verdict"]]
    for claim in result["claims"]:
        mean, low, high = (claim["difference"][key] for key in ("mean", "low", "high"))
        reach = "" if low in (None, high) else f" ({low:+.4f} to {high:+.4f})"
        rows.append([f"{claim['text']}. {claim['paper']}", f"{mean:+.4f}{reach}", claim["verdict"]])
    plan = result.get("budget") or result["plan"]
    seeds = f"{plan['seeds']} seeds"
    if f"top-1 with {(more := plan.get('labels', (0,))[-1])} labels" in result.get("summary", {}) and more != plan["labels"][0]:
        seeds += f" with {plan['labels'][0]} labels, {plan['more_seeds']} with {more:,}"
    said = f"`{result['command']}`: {seeds}, {result['data']}, torch {result['versions']['torch']}"
    return f"\n{markdown(rows)}\n\n{said}; [every run](../../experiments/results/{name}.json).\n\n"


def render(text: str, results: Path = RESULTS) -> str:
    """``text`` with every marked table made anew; one whose results are absent says which command makes them."""
    return filled(text, results, table, lambda name: f"Not run to its end yet: `python -m experiments.{name}`.")


if __name__ == "__main__":
    main({PAGE: render}, "python -m experiments.table", __doc__)
