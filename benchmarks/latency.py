"""Latency of one network with one set of weights: swinkit's engine beside timm, torchvision and transformers, eager and compiled, and
beside timm's graph in ONNX Runtime and OpenVINO.

    python benchmarks/latency.py

Each runs in a process of its own; all take turns, on 32 different inputs. Errors are against the network in float64, relative to the
largest logit. A ratio above 1 means that swinkit is faster; intervals are 95 %, bootstrap over turns. Compiling takes most of
the time. At batch 8 only the fastest compiled peer of batch 1 is compiled. Results go to benchmarks/results/latency.json.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common.bars import at_least, marked
from common.measuring import (
    Candidate,
    Measured,
    Pace,
    Results,
    Table,
    best,
    faster,
    figure,
    options,
    take_turns,
    tell,
)

OURS, TIMM, LIBRARIES = "swinkit", "timm, eager", ("timm", "torchvision", "transformers")


class Case(NamedTuple):
    """``over_timm`` and ``over_best`` are the least ratios wanted; ``error`` the largest error, or times that of timm."""

    name: str
    model: str
    batch: int
    side: int
    precision: str
    over_timm: float | None
    over_best: float | None
    error: str


CASES = (
    Case("Swin-T 224, batch 1", "swin_t", 1, 224, "float32", 1.8, 1.03, "1e-5"),
    Case("Swin-T 224, batch 1", "swin_t", 1, 224, "bfloat16", None, 1.15, "1.5x"),
    Case("Swin-T 224, batch 8", "swin_t", 8, 224, "float32", None, 1.15, "1e-5"),
    Case("Swin-T 224, batch 8", "swin_t", 8, 224, "bfloat16", None, 1.1, "1.5x"),
    Case("SwinV2-T 256, window 8, batch 1", "swinv2_t", 1, 256, "float32", 1.8, 1.05, "1e-5"),
    Case("SwinV2-T 256, window 8, batch 1", "swinv2_t", 1, 256, "bfloat16", 1.8, 1.05, "1.5x"),
)
QUICK = tuple(Case(f"nano, batch {batch}", "swin_nano", batch, 56, precision, 1.8, 1.03, error) for batch, precision, error in (
    (1, "float32", "1e-5"), (2, "bfloat16", "1.5x"),
))  # fmt: skip


def candidates(case: Case, compile_these: Sequence[str]) -> list[Candidate]:
    shared = {"model": case.model, "batch": case.batch, "size": (case.side, case.side), "precision": case.precision}
    ways = [(library, "eager") for library in LIBRARIES]
    if case.precision == "bfloat16":
        ways += [(library, "bfloat16 weights") for library in LIBRARIES]
    else:
        ways.append(("timm", "ONNX Runtime"))  # whose CPU kernels know no bfloat16
    ways.append(("timm", "OpenVINO"))
    ways += [(library, "compiled") for library in compile_these]
    rivals = [
        Candidate(f"{library}, {way}", "common.peers:theirs", {"library": library, "way": way, **shared})
        for library, way in ways
    ]
    return [Candidate(OURS, "common.peers:ours", shared), *rivals]


def run(case: Case, pace: Pace, compile_these: Sequence[str], folder: Path) -> dict[str, Any]:
    """Measure one case: samples, ratios and errors, JSON-ready."""
    print(f"{case.name}, {case.precision}", flush=True)
    shared = {"model": case.model, "batch": case.batch, "size": (case.side, case.side)}
    truth = folder / "truth.npy"
    decided = take_turns(
        [Candidate("reference", "common.peers:reference", shared)], Pace(0), lambda worker, _: worker.answers(truth)
    )
    errors: dict[str, float] = {}

    def judge(worker: Any, measured: Measured) -> None:
        path = folder / "answers.npy"
        worker.answers(path)
        reference = np.load(truth)
        errors[measured.name] = float(np.abs(np.load(path) - reference).max() / np.abs(reference).max())

    told = None if decided["reference"].fault else judge
    found = take_turns(candidates(case, compile_these), pace, told, tell)
    rivals = [name for name in found if name != OURS]
    ratios = {name: faster(found, OURS, name) for name in rivals}
    return {
        **case._asdict(), "subjects": {name: {**measured.to_dict(), "error": errors.get(name)} for name, measured in found.items()},
        "best_peer": best(found, rivals), "ratios": {name: asdict(ratio) for name, ratio in ratios.items() if ratio},
    }  # fmt: skip


def quickest_compiled(result: dict[str, Any]) -> str | None:
    """The library whose compiled network comes closest to ours."""
    ratios = {name: ratio["value"] for name, ratio in result["ratios"].items() if name.endswith("compiled")}
    return min(ratios, key=ratios.__getitem__).partition(",")[0] if ratios else None


def rows(case: dict[str, Any]) -> list[list[str]]:
    """What the README says of one case: our latency, then the rivals that bars are about."""
    if case.get("fault"):
        return [[case["name"], case["precision"], case["fault"], "–", "–", "–", "–"]]
    ours, rival = case["subjects"][OURS], case["best_peer"]
    if ours["fault"] or rival is None:
        return [[case["name"], case["precision"], ours["fault"] or "no peer ran", "–", "–", "–", "–"]]
    own = [case["subjects"][name]["error"] for name in (TIMM, "timm, bfloat16 weights") if name in case["subjects"]]
    peers_error = min((error for error in own if error is not None), default=np.inf)
    wanted = f"{peers_error * 1.5:.1e}" if case["error"] == "1.5x" else case["error"]
    error = "–" if ours["error"] is None else f"{ours['error']:.1e} ({marked(f'≤ {wanted}', ours['error'] <= float(wanted))})"
    answer = []
    for name, bar in ((TIMM, case["over_timm"]), (rival, case["over_best"])):
        ratio = case["ratios"].get(name)
        if ratio is None or (name == TIMM and rival == TIMM):
            continue
        label = f"{name}, the best peer" if name == rival else name
        answer.append(
            [
                case["name"], case["precision"], f"{milliseconds(ours):.1f} ({ours['about']['engine']})", f"{label}: {milliseconds(case['subjects'][name]):.1f}",
                figure(ratio), at_least(ratio["value"], bar), error,
            ]
        )  # fmt: skip
    return answer


def milliseconds(subject: dict[str, Any]) -> float:
    return float(np.median(np.concatenate(subject["turns"]))) * 1e3


def table(cases: list[dict[str, Any]]) -> Table:
    columns = ("network", "precision", "swinkit, ms (engine)", "peer, ms", "times as fast", "bar", "largest error")
    return Table(columns, [row for case in cases for row in rows(case)])


def main() -> None:
    chosen = options(__file__, __doc__, rounds=10, seconds=0.35)
    results = Results(__file__, chosen.out, table, chosen.said)
    pace = Pace(2, 0.0, 1) if chosen.quick else Pace(chosen.rounds, chosen.seconds, 1, most=110)
    winner: dict[tuple[str, str], str] = {}
    with tempfile.TemporaryDirectory() as folder:

        def measured(case: Case) -> dict[str, Any]:
            known = winner.get((case.model, case.precision))
            compile_these = ("timm",) if chosen.quick else LIBRARIES if known is None else (known,)
            result = run(case, pace, compile_these, Path(folder))
            if quickest := quickest_compiled(result):
                winner[case.model, case.precision] = quickest
            return result

        results.measure(QUICK if chosen.quick else CASES, measured)
    results.finish()


if __name__ == "__main__":
    main()
