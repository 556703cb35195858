"""One training step of SwinV2-B, window 24, on one picture of 1536 x 1536: memory and time with and without each measure against memory.

    python benchmarks/high_resolution.py

A step is forward in bfloat16 autocast (float32 where the processor does not multiply bfloat16), cross-entropy, backward and AdamW. Each runs alone, in
a process that is stopped where it would hold more than --most gigabytes: then only its need is known to be greater. At 768 x 768, a quarter of
the pixels, every row fits. Results go to benchmarks/results/high_resolution.json.
"""

from __future__ import annotations

from typing import Any

from common.measuring import Candidate, Pace, Results, bfloat16, options, take_turns, tell

from swinkit.config import SwinConfig

MODEL, SIDES, BAR = "swinv2_b_384_ft", (768, 1536), 16
NATIVE, CHECKPOINT, SEQUENTIAL = "native attention", "activation checkpointing", "sequential attention"
# each row: the measures that it takes
ROWS = ((), (NATIVE,), (SEQUENTIAL,), (CHECKPOINT,), (CHECKPOINT, SEQUENTIAL), (NATIVE, CHECKPOINT))
WINDOWS = 16  # attended to at a time


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
    return {"measures": name, "side": side, **found[name].to_dict()}


def row(cases: dict[tuple[str, int], dict[str, Any]], name: str, sides: tuple[int, ...], most: float) -> list[str]:
    cells = [name]
    for side in sides:
        case = cases.get((name, side))
        if case is None:
            cells += ["–", "–"]
        elif case["turns"]:
            peak = case["memory"].get("peak")
            cells += [f"{case['turns'][0][0]:.1f}", f"{peak / 1e9:.1f}" if peak else "–"]
        else:
            memory = any(word in case["fault"] for word in ("alloc", "emory"))
            cells += ["–", f"more than {most:.0f}" if memory else case["fault"].partition(": ")[2][:60]]
    return cells


def main() -> None:
    chosen = options(__file__, __doc__, most=20.0)
    results = Results(__file__, chosen.out)
    model, sides = ("swinv2_nano", (56, 112)) if chosen.quick else (MODEL, SIDES)
    known = [measures for measures in ROWS if SEQUENTIAL not in measures or "attention_chunk" in SwinConfig.model_fields]
    for side in sides:
        for measures in known:
            results.add(run(measures, side, model, chosen.most))
    cases = {(case["measures"], case["side"]): case for case in results.content["cases"]}
    columns = ["measures"]
    for side in sides:
        columns += [f"{side} x {side}: s a step", "peak memory, GB"]
    names = [" and ".join(measures) or "no measure" for measures in known]
    note = f"Bar: a step at {sides[-1]} x {sides[-1]} under {BAR} GB. Peak memory is of the whole process."
    results.finish(columns, [row(cases, name, sides, chosen.most) for name in names], [note])


if __name__ == "__main__":
    main()
