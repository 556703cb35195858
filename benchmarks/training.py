"""One training step in bfloat16: swinkit beside timm, torchvision and transformers, eager and compiled, with its peak memory.

    python benchmarks/training.py

A step is forward under autocast, cross-entropy, backward and a fused AdamW, which the peers get too; no stochastic depth. Each runs in a
process of its own, all take turns. Memory is the peak of the process while it steps, less what it held when its libraries were imported.
swin_nano is compared with timm's Swin of the same dimensions. Results go to benchmarks/results/training.json.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple

from common.bars import at_least, marked
from common.measuring import Candidate, Pace, Results, Table, best, bfloat16, faster, figure, options, take_turns, tell

from swinkit.study import statistics

OURS = "swinkit"


class Case(NamedTuple):
    name: str
    model: str
    batch: int
    side: int
    rivals: tuple[tuple[str, str], ...]
    bar: float
    fields: dict[str, Any]


SWIN_T = (
    ("timm", "eager"),
    ("torchvision", "eager"),
    ("transformers", "eager"),
    ("timm", "compiled"),
    ("torchvision", "compiled"),
)
NANO = (("timm", "eager"), ("timm", "compiled"))
CASES = (
    Case("Swin-T 224, batch 8", "swin_t", 8, 224, SWIN_T, 1.5, {}),
    Case("swin_nano 28, batch 128", "swin_nano", 128, 28, NANO, 1.5, {"in_channels": 1, "num_classes": 10}),
)
QUICK = (
    Case("nano", "swin_nano", 2, 28, (("timm", "eager"), ("torchvision", "eager")), 1.5, {"in_channels": 1, "num_classes": 10}),
)


def run(case: Case, pace: Pace, precision: str) -> dict[str, Any]:
    print(f"{case.name}, {precision}", flush=True)
    shared = {"model": case.model, "batch": case.batch, "size": (case.side, case.side), "precision": precision, **case.fields}
    rivals = [
        Candidate(f"{library}, {way}", "common.trainers:theirs", {"library": library, "way": way, **shared})
        for library, way in case.rivals
    ]
    found = take_turns([Candidate(OURS, "common.trainers:ours", shared), *rivals], pace, say=tell, allowed=600)
    names = [rival.name for rival in rivals]
    ratios = {name: faster(found, OURS, name) for name in names}
    return {
        **case._asdict(), "precision": precision, "subjects": {name: measured.to_dict() for name, measured in found.items()},
        "best_peer": best(found, names), "ratios": {name: asdict(ratio) for name, ratio in ratios.items() if ratio},
    }  # fmt: skip


def rows(case: dict[str, Any]) -> list[list[str]]:
    """swinkit, then every peer."""
    answer = []
    for name, subject in case["subjects"].items():
        if subject["fault"]:
            answer.append([case["name"], name, subject["fault"].splitlines()[0][:80], "–", "–", "–"])
            continue
        speed = statistics.median(subject["turns"]).inverse.scaled(case["batch"])
        ratio = case["ratios"].get(name)
        answer.append(
            [
                case["name"], f"{name}, the best peer" if name == case["best_peer"] else name,
                figure(speed, 1), f"{taken:,.0f}" if (taken := megabytes(subject)) else "–",
                figure(ratio), bar(case) if name == case["best_peer"] else "–",
            ]
        )  # fmt: skip
    return answer


def megabytes(subject: dict[str, Any]) -> float | None:
    """The most that a subject held while stepping, less its libraries and pictures; None where the system does not tell."""
    memory = subject["memory"]
    return (memory["peak"] - memory["loaded"]) / 1e6 if memory.get("peak") and memory.get("loaded") else None


def bar(case: dict[str, Any]) -> str:
    """What is wanted beside the best peer, of time and of memory."""
    held, most = megabytes(case["subjects"][OURS]), megabytes(case["subjects"][case["best_peer"]])
    lighter = held <= most if held and most else None
    return f"{at_least(case['ratios'][case['best_peer']]['value'], case['bar'])}, {marked('and not more memory', lighter)}"


def table(cases: list[dict[str, Any]]) -> Table:
    precision = cases[0]["precision"]
    columns = ("training step", "library", f"pictures/s, {precision}", "peak memory, MB", "swinkit is times as fast", "bar")
    notes = () if precision == "bfloat16" else ("This processor does not multiply bfloat16, so that float32 was measured.",)
    return Table(columns, [row for case in cases for row in rows(case)], notes)


def main() -> None:
    chosen = options(__file__, __doc__, rounds=7)
    results = Results(__file__, chosen.out, table, chosen.said)
    pace = Pace(2, 0.0, 1) if chosen.quick else Pace(chosen.rounds, 0.5, 2, most=150)
    precision = "bfloat16" if bfloat16() else "float32"
    for case in QUICK if chosen.quick else CASES:
        results.add(run(case, pace, precision))
    results.finish()


if __name__ == "__main__":
    main()
