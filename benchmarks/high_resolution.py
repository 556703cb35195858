"""One training step of SwinV2-B, window 24, on one picture of 1536 x 1536: memory and time with and without each measure against memory.

    python benchmarks/high_resolution.py

A step is forward in bfloat16 autocast (float32 where the processor does not multiply bfloat16), cross-entropy, backward and AdamW. Each runs alone, in
a process that is stopped where it would hold more than --most gigabytes: then only its need is known to be greater. At 768 x 768, a quarter of
the pixels, every row fits. Results go to benchmarks/results/high_resolution.json.
"""

from __future__ import annotations

from typing import Any

from common.bars import marked
from common.measuring import Candidate, Pace, Results, Table, bfloat16, options, take_turns, tell

MODEL, SIDES, BAR = "swinv2_b_384_ft", (768, 1536), 16
NATIVE, CHECKPOINT, SEQUENTIAL = "native attention", "activation checkpointing", "sequential attention"
# each row: the measures that it takes
ROWS = ((), (NATIVE,), (SEQUENTIAL,), (CHECKPOINT,), (CHECKPOINT, SEQUENTIAL), (NATIVE, CHECKPOINT))
WINDOWS = 16  # attended to at a time
# a row as its settings name it: kernels are what a processor takes by itself
SHOWN = {
    "no measure": "without kernels", NATIVE: "as it comes", CHECKPOINT: "gradient_checkpointing", SEQUENTIAL: f"attention_chunk={WINDOWS}",
}  # fmt: skip


def fields(measures: tuple[str, ...]) -> dict[str, Any]:
    chosen: dict[str, Any] = {"native": NATIVE in measures}
    if CHECKPOINT in measures:
        chosen["gradient_checkpointing"] = True
    if SEQUENTIAL in measures:
        chosen["attention_chunk"] = WINDOWS
    return chosen


def run(measures: tuple[str, ...], side: int, model: str, most: float) -> dict[str, Any]:
    name = " and ".join(measures) or "no measure"
    print(f"{side} x {side}, {name}", flush=True)
    arguments = {
        "model": model, "batch": 1, "size": (side, side), "precision": "bfloat16" if bfloat16() else "float32", "gigabytes": most,
        "num_classes": 1000, **fields(measures),
    }  # fmt: skip
    found = take_turns([Candidate(name, "common.trainers:limited", arguments)], Pace(1, 0.0, 1, pause=0), say=tell, allowed=600)
    return {"measures": name, "side": side, "most_gigabytes": most, **found[name].to_dict()}


def shown(name: str) -> str:
    """The measures ``name`` by their settings, and whether they were taken without kernels."""
    measures = name.split(" and ")
    said = " and ".join(SHOWN[measure] for measure in measures if measure != NATIVE or len(measures) == 1)
    return said if NATIVE in measures or name == "no measure" else f"{said}, without kernels"


def row(name: str, cases: list[dict[str, Any] | None]) -> list[str]:
    """What each side cost with the measures ``name``; None has not been measured."""
    cells = [shown(name)]
    for case in cases:
        if case is None:
            cells += ["–", "–"]
        elif case["turns"]:
            peak = case["memory"].get("peak")
            held = f"{peak / 1e9:.1f}" if peak else "–"
            barred = peak and case["side"] == SIDES[-1]
            cells += [f"{case['turns'][0][0]:.1f}", marked(held, peak / 1e9 < BAR) if barred else held]
        else:
            memory = any(word in case["fault"] for word in ("alloc", "emory"))
            most = f"more than {case['most_gigabytes']:.0f}"
            held = marked(most, False) if case["side"] == SIDES[-1] and case["most_gigabytes"] >= BAR else most
            cells += ["–", held if memory else case["fault"].partition(": ")[2][:60]]
    return cells


def table(cases: list[dict[str, Any]]) -> Table:
    sides, names = (list(dict.fromkeys(case[key] for case in cases)) for key in ("side", "measures"))
    found = {(case["measures"], case["side"]): case for case in cases}
    columns = ["measures"]
    for side in sides:
        columns += [f"{side} x {side}: s a step", "peak memory, GB"]
    notes = ["Peak memory is of the whole process."]
    if SIDES[-1] in sides:
        notes.insert(0, f"Bar: a step at {SIDES[-1]} x {SIDES[-1]} under {BAR} GB.")
    return Table(columns, [row(name, [found.get((name, side)) for side in sides]) for name in names], [" ".join(notes)])


def main() -> None:
    chosen = options(__file__, __doc__, most=20.0)
    results = Results(__file__, chosen.out, table, chosen.said)
    model, sides = ("swinv2_nano", (56, 112)) if chosen.quick else (MODEL, SIDES)
    for side in sides:
        for measures in ROWS:
            results.add(run(measures, side, model, chosen.most))
    results.finish()


if __name__ == "__main__":
    main()
