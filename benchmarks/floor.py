"""How much of the machine's GEMM floor swinkit's fastest engine reaches: the time of the linear layers alone, over its latency.

    python benchmarks/floor.py

The floor is every linear layer and patch merging of the network, once each in its own shape, through oneDNN with packed weights, exact
GELU in the same pass (swinkit/study/floor.py). It takes turns with the engine, in a process of its own, whose memory blocks stay with it. Results
go to benchmarks/results/floor.json.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple

from common.bars import at_least
from common.measuring import (
    FLOOR,
    KEEP_MEMORY,
    Candidate,
    Pace,
    Results,
    Table,
    figure,
    options,
    take_turns,
    tell,
)

from swinkit.study import statistics

OURS = "swinkit"


class Case(NamedTuple):
    """``bar`` is the least share of the floor wanted, ``aim`` the share hoped for."""

    name: str
    model: str
    batch: int
    side: int
    precision: str
    bar: float | None
    aim: float | None


CASES = (
    Case("Swin-T 224, batch 1", "swin_t", 1, 224, "float32", 0.75, 0.9),
    Case("Swin-T 224, batch 1", "swin_t", 1, 224, "bfloat16", 0.55, 0.75),
    Case("Swin-T 224, batch 8", "swin_t", 8, 224, "float32", None, None),
    Case("Swin-T 224, batch 8", "swin_t", 8, 224, "bfloat16", None, None),
    Case("SwinV2-T 256, window 8, batch 1", "swinv2_t", 1, 256, "float32", None, None),
    Case("SwinV2-T 256, window 8, batch 1", "swinv2_t", 1, 256, "bfloat16", None, None),
)
QUICK = (
    Case("nano, batch 1", "swin_nano", 1, 56, "float32", 0.75, 0.9),
    Case("nano, batch 1", "swin_nano", 1, 56, "bfloat16", 0.55, 0.75),
)


def run(case: Case, pace: Pace) -> dict[str, Any]:
    print(f"{case.name}, {case.precision}", flush=True)
    shared = {"model": case.model, "batch": case.batch, "size": (case.side, case.side), "precision": case.precision}
    both = [
        Candidate(OURS, "common.peers:ours", shared),
        Candidate(FLOOR, "swinkit.study.subjects:gemm_floor", shared, KEEP_MEMORY),
    ]
    found = take_turns(both, pace, say=tell)
    answer: dict[str, Any] = {**case._asdict(), "subjects": {name: measured.to_dict() for name, measured in found.items()}}
    if found[OURS].turns and found[FLOOR].turns:
        answer["share"] = asdict(statistics.ratio(found[FLOOR].turns, found[OURS].turns))
        answer["seconds"] = {name: asdict(statistics.median(measured.turns)) for name, measured in found.items()}
    return answer


def row(case: dict[str, Any]) -> list[str]:
    if "share" not in case:
        fault = case.get("fault") or next(each["fault"] for each in case["subjects"].values() if each["fault"])
        return [case["name"], case["precision"], fault, "–", "–", "–"]
    engine = case["subjects"][OURS]["about"]["engine"]
    floor, ours = (figure(case["seconds"][name], 2, 1e3) for name in (FLOOR, OURS))
    bar, aim = at_least(case["share"]["value"], case["bar"]), f" (aim {case['aim']})" if case["bar"] else ""
    return [case["name"], case["precision"], floor, f"{ours} {engine}", figure(case["share"]), bar + aim]


def table(cases: list[dict[str, Any]]) -> Table:
    columns = ("network", "precision", "floor, ms", "swinkit, ms", "share of the floor", "bar")
    return Table(columns, [row(case) for case in cases])


def main() -> None:
    chosen = options(__file__, __doc__, rounds=12, seconds=0.4)
    results = Results(__file__, chosen.out, table, chosen.said)
    pace = Pace(2, 0.0, 2) if chosen.quick else Pace(chosen.rounds, chosen.seconds, 2, most=60)
    results.measure(QUICK if chosen.quick else CASES, lambda case: run(case, pace))
    results.finish()


if __name__ == "__main__":
    main()
