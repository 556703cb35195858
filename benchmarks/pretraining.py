"""Pre-training steps: sparse beside faithful SimMIM, and faithful beside transformers' own, each in a process of its own, in turn.

    python benchmarks/pretraining.py

A step is forward, loss, backward and AdamW on pictures of noise, 128 at once for sparse and faithful as SimMIM had per device, with the
same weights, pictures and masks for both libraries; memory
is the most that the process held while stepping, less what it held before the network was built. A ratio above 1 means
that the first is faster, or needs less; intervals are 95 %, bootstrap over turns. Results go to benchmarks/results/pretraining.json.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple

from common.bars import at_least
from common.measuring import (
    Candidate,
    Measured,
    Pace,
    Results,
    Table,
    faster,
    figure,
    options,
    take_turns,
    tell,
)


class Case(NamedTuple):
    """``times`` and ``memory`` are the least ratios wanted of ``first`` over ``second``."""

    name: str
    model: str
    batch: int
    side: int
    precision: str
    first: str
    second: str
    times: float
    memory: float | None


SUBJECTS: dict[str, tuple[str, dict[str, Any]]] = {
    "sparse": ("common.pretraining:ours", {"sparse": True}),
    "faithful": ("common.pretraining:ours", {"sparse": False}),
    "transformers": ("common.pretraining:theirs", {}),
}
CASES = (
    Case("Swin-T 192", "swin_t", 128, 192, "bfloat16", "sparse", "faithful", 2.5, 2.0),
    Case("Swin-T 192", "swin_t", 128, 192, "float32", "sparse", "faithful", 2.5, 2.0),
    Case("Swin-T 192", "swin_t", 32, 192, "bfloat16", "faithful", "transformers", 1.5, None),
    Case("SwinV2-T 192", "swinv2_t", 32, 192, "bfloat16", "faithful", "transformers", 1.5, None),
)
QUICK = (
    Case("nano 64", "swin_nano", 2, 64, "float32", "sparse", "faithful", 2.5, 2.0),
    Case("nano 64", "swinv2_nano", 2, 64, "bfloat16", "faithful", "transformers", 1.5, None),
)


def run(case: Case, pace: Pace) -> dict[str, Any]:
    print(f"{case.name}, {case.precision}: {case.first} beside {case.second}", flush=True)
    shared = {"model": case.model, "batch": case.batch, "side": case.side, "precision": case.precision}
    candidates = [Candidate(name, SUBJECTS[name][0], {**shared, **SUBJECTS[name][1]}) for name in (case.first, case.second)]
    found = take_turns(candidates, pace, None, tell)
    ratio = faster(found, case.first, case.second)
    held = {name: memory(found[name]) for name in (case.first, case.second)}
    one, other = held[case.first], held[case.second]
    return {
        **case._asdict(), "subjects": {name: measured.to_dict() for name, measured in found.items()},
        "ratio": asdict(ratio) if ratio else None, "bytes": held, "memory_ratio": other / one if one and other else None,
    }  # fmt: skip


def memory(measured: Measured) -> int | None:
    """Bytes for network, optimiser and activations."""
    peak, loaded = measured.memory.get("peak"), measured.memory.get("loaded")
    return peak - loaded if peak is not None and loaded is not None else None


def row(case: dict[str, Any]) -> list[str]:
    label = f"{case['first']} over {case['second']}"
    faults = [subject["fault"] for subject in case.get("subjects", {}).values() if subject["fault"]] + [case.get("fault")]
    if fault := next(filter(None, faults), None):
        return [case["name"], case["precision"], label, fault, "–", "–", "–", "–"]
    speeds = " / ".join(f"{rate(case, name):.1f}" for name in (case["first"], case["second"]))
    gigabytes = " / ".join(f"{(case['bytes'][name] or 0) / 1e9:.2f}" for name in (case["first"], case["second"]))
    bars = at_least(case["ratio"]["value"], case["times"])
    bars += f", memory {at_least(case['memory_ratio'], case['memory'])}" if case["memory"] else ""
    lighter = f"{case['memory_ratio']:.2f}" if case["memory_ratio"] else "–"
    return [case["name"], case["precision"], label, speeds, figure(case["ratio"]), gigabytes, lighter, bars]


def rate(case: dict[str, Any], name: str) -> float:
    """Pictures per second, by the median step."""
    samples = sorted(seconds for turn in case["subjects"][name]["turns"] for seconds in turn)
    return case["batch"] / samples[len(samples) // 2]


def table(cases: list[dict[str, Any]]) -> Table:
    columns = ("network", "precision", "what", "pictures/s", "times as fast", "GB", "times as light", "bar")
    return Table(columns, [row(case) for case in cases])


def main() -> None:
    chosen = options(__file__, __doc__, rounds=10, seconds=1.0)
    results = Results(__file__, chosen.out, table, chosen.said)
    pace = Pace(2, 0.0, 1) if chosen.quick else Pace(chosen.rounds, chosen.seconds, 1)
    results.measure(QUICK if chosen.quick else CASES, lambda case: run(case, pace))
    results.finish()


if __name__ == "__main__":
    main()
