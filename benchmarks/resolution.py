"""Swin-T from 224 to 1536 pixels a side: latency a pixel, memory, and DeiT-S beside it on the same engines.

    python benchmarks/resolution.py

One picture at a time in float32. swinkit computes by its native engine at every size: `auto` may choose another for one of them. DeiT-S is timm's, with fused attention. swinkit's own engine knows no DeiT-S, so that the time a MAC takes is compared
where one engine runs both: torch, eager and compiled, and OpenVINO. Each runs in a process of its own, all of one size in turn. Memory is what a process holds at most beyond what it held with
its libraries and pictures. MACs a second are useful MACs over latency. Results go to benchmarks/results/resolution.json.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common.bars import MET, MISSED
from common.measuring import Candidate, Pace, Results, Table, figure, options, take_turns, tell

from swinkit.study import statistics
from swinkit.study.macs import useful_macs
from swinkit.study.vit import VITS, count_vit_macs
from swinkit.variants import configure

SIDES = (224, 384, 512, 768, 1024, 1536)
FLAT, GAP, NETS = 1.25, 1.25, ("Swin-T", "DeiT-S")
OURS, EAGER, VIT = "Swin-T, swinkit", "Swin-T, torch eager", "DeiT-S, torch eager"
# further engines that run both: swinkit's name for it and that of benchmarks/common/peers.py
SHARED = {"torch compiled": ("compiled", "compiled"), "OpenVINO": ("openvino", "OpenVINO")}


def candidates(side: int, model: str, every: bool) -> list[Candidate]:
    """At ``side``; on ``every`` engine, or only on those that the table shows."""
    shared = {"model": model, "batch": 1, "size": (side, side), "precision": "float32"}
    listed = [
        Candidate(OURS, "common.peers:ours", {**shared, "engine": "native"}),
        Candidate(EAGER, "swinkit.study.subjects:swin", {**shared, "engine": "plain"}),
        Candidate(VIT, "common.peers:deit", {"way": "eager", "side": side}),
    ]
    for name, (engine, way) in SHARED.items() if every else ():
        listed.append(Candidate(f"Swin-T, {name}", "common.peers:ours", {**shared, "engine": engine}))
        listed.append(Candidate(f"DeiT-S, {name}", "common.peers:deit", {"way": way, "side": side}))
    return listed


def run(side: int, model: str, pace: Pace, every: bool) -> dict[str, Any]:
    print(f"{side} x {side}", flush=True)
    found = take_turns(candidates(side, model, every), pace, say=tell)
    macs = {"Swin-T": useful_macs(configure(model), (side, side)), "DeiT-S": count_vit_macs(VITS["deit_s"], (side, side)).total}
    return {"side": side, "macs": macs, "subjects": {name: measured.to_dict() for name, measured in found.items()}}


def seconds(case: dict[str, Any], name: str) -> float | None:
    subject = case["subjects"].get(name)
    return statistics.median(subject["turns"]).value if subject and subject["turns"] else None


def memory(case: dict[str, Any], name: str) -> float | None:
    told = case["subjects"].get(name, {}).get("memory") or {}
    return (told["peak"] - told["loaded"]) / 1e6 if told.get("peak") and told.get("loaded") else None


def row(case: dict[str, Any]) -> list[str]:
    """Nanoseconds a pixel and megabytes of swinkit, eager Swin and eager DeiT-S at one size."""
    cells = [str(case["side"])]
    for name in (OURS, EAGER, VIT):
        taken, held = seconds(case, name), memory(case, name)
        cells += [f"{taken / case['side'] ** 2 * 1e9:.0f}" if taken else "–", f"{held:,.0f}" if held else "–"]
    return cells


def notes(cases: list[dict[str, Any]]) -> list[str]:
    """How flat, how linear, and the gap to DeiT-S, each with its bar."""
    said = []
    flat = [taken / case["side"] ** 2 for case in cases if (taken := seconds(case, OURS))]
    if flat:
        times = max(flat) / min(flat)
        mark = MET if times <= FLAT else MISSED
        said.append(
            f"Latency a pixel of swinkit: largest over smallest {times:.2f} (bar: each within {FLAT} of constant {mark})."
        )
    held = [(case["side"] ** 2, value) for case in cases if (value := memory(case, OURS))]
    if len(held) > 2:
        pixels, values = np.array(held).T
        line = np.polyval(np.polyfit(pixels, values, 1), pixels)
        said.append(
            f"Peak memory of swinkit against a straight line in the number of pixels: off by at most {np.abs(values / line - 1).max():.1%}."
        )
    return said + [
        gap(cases[0], name) for name in ("torch eager", *SHARED) if all(seconds(cases[0], f"{net}, {name}") for net in NETS)
    ]


def gap(case: dict[str, Any], engine: str) -> str:
    """How much longer a MAC takes in Swin-T than in DeiT-S on one ``engine``."""
    names = [f"{net}, {engine}" for net in NETS]
    times = statistics.ratio(*(case["subjects"][name]["turns"] for name in names))
    ratio = times.scaled(case["macs"]["DeiT-S"] / case["macs"]["Swin-T"])
    rates = [case["macs"][net] / (seconds(case, name) or 1) / 1e9 for net, name in zip(NETS, names, strict=True)]
    return (
        f"Time a MAC at {case['side']}, Swin-T over DeiT-S, {engine}: {figure(ratio)} (bar: at most {GAP} "
        f"{MET if ratio.value <= GAP else MISSED}; {rates[0]:.0f} and {rates[1]:.0f} GMAC/s)."
    )


def table(cases: list[dict[str, Any]]) -> Table:
    columns = ["pixels a side"]
    for name in (OURS, EAGER, VIT):
        columns += [f"{name}, ns a pixel", "MB"]
    return Table(columns, [row(case) for case in cases], notes(cases))


def main() -> None:
    chosen = options(__file__, __doc__, rounds=6, max_seconds=420.0)
    results = Results(__file__, chosen.out, table, chosen.said)
    pace = Pace(1, 0.0, 1) if chosen.quick else Pace(chosen.rounds, 0.4, 1, most=chosen.max_seconds / len(SIDES))
    sides, model = ((64, 96, 128), "swin_nano") if chosen.quick else (SIDES, "swin_t")
    for side in sides:
        results.add(run(side, model, pace, every=side == sides[0]))
    results.finish()


if __name__ == "__main__":
    main()
