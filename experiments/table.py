"""The tables of docs/explanation/claims.md and of budgets in docs/pretrain.md, written from experiments/results/*.json.

python -m experiments.table            # write them anew
python -m experiments.table --check    # exit code 1 if a page is not what the results say
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.common.render import filled, main, markdown, marked

from .budget import budget

RESULTS = Path(__file__).with_name("results")
DOCS = Path(__file__).parents[1] / "docs"
PAGE, BUDGETS = DOCS / "explanation" / "claims.md", DOCS / "pretrain.md"


def table(name: str, result: dict[str, Any]) -> str:
    """Markdown of the experiment ``name``: a row per claim, then the command and what it ran with."""
    rows = [["claim", "difference (95 % interval)", "verdict"]]
    for claim in result["claims"]:
        mean, low, high = (claim["difference"][key] for key in ("mean", "low", "high"))
        reach = "" if low in (None, high) else f" ({low:+.4f} to {high:+.4f})"
        rows.append([f"{claim['text']}. {claim['paper']}", f"{mean:+.4f}{reach}", claim["verdict"]])
    return f"\n{markdown(rows)}\n\n{origin(result)}; [every run](../../experiments/results/{name}.json).\n\n"


def budget_table(name: str, result: dict[str, Any]) -> str:
    """Markdown of what the arms of the experiment ``name`` cost and reached, then the command and what it ran with."""
    plan = result["plan"]
    computed = f"minutes are of the processor, with {plan['threads']} thread in {plan['precision']}"
    return f"\n{markdown(budget(result))}\n\n{origin(result)}; {computed}; every run: `experiments/results/{name}.json`.\n\n"


def origin(result: dict[str, Any]) -> str:
    """The command, seeds and data of ``result``."""
    plan = result.get("budget") or result["plan"]
    seeds, labels = f"{plan['seeds']} seeds", plan.get("labels", ())
    if len(labels) > 1 and f"top-1 with {labels[-1]} labels" in result["summary"]:
        seeds += f" with {labels[0]} labels, {plan['more_seeds']} with {labels[-1]:,}"
    return f"`{result['command']}`: {seeds}, {result['data']}, torch {result['versions']['torch']}"


def render(text: str, results: Path = RESULTS) -> str:
    """``text`` with every marked table made anew; one whose results are absent says which command makes them."""
    return filled(text, results, table, absent)


def render_budgets(text: str, results: Path = RESULTS) -> str:
    """The same for tables marked as budgets."""
    return filled(text, results, budget_table, absent, marked("budget"))


def absent(name: str) -> str:
    return f"Not run to its end yet: `python -m experiments.{name}`."


if __name__ == "__main__":
    main({PAGE: render, BUDGETS: render_budgets}, "python -m experiments.table", __doc__)
