"""Bulk prediction, files to labels: 2,000 JPEGs of 1 to 3 megapixels with a trained Swin-T; swinkit beside the pipeline of transformers and the loop of
timm's inference script, with the same weights and preprocessing.

    python benchmarks/bulk.py [--pictures FOLDER] [--model MODEL]

Pictures are pieces of scikit-learn's two photographs; the Swin-T learns to tell eight quarters of them apart first (benchmarks/common/photographs.py).
--pictures keeps the pictures in a folder for the next time; --model takes a trained classifier instead. Everything runs in a process of its own, with two
workers that decode; the pictures are divided among turns. Results go to benchmarks/results/bulk.json.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common import photographs
from common.bars import at_least, marked
from common.measuring import Candidate, Measured, Pace, Results, Table, bfloat16, faster, figure, options, take_turns, tell

from swinkit.cli.main import run as swinkit
from swinkit.runtime.predictor import Predictor
from swinkit.study import statistics

OURS = {"swinkit, float32": "float32", "swinkit, bfloat16": "bfloat16"}
PEERS = ("transformers, pipeline", "timm, inference script")
EQUAL, BY_DEFAULT, AGREEMENT = 1.6, 2.5, 0.995


def converted(model: Path, folder: Path, kind: str) -> Path:
    out = folder / kind
    code = swinkit(["convert", str(model), str(out), "--to", kind, "-q"])
    if code:
        raise SystemExit(f"could not convert the model to {kind}")
    return out


def candidates(model: Path, work: Path, shared: dict[str, Any]) -> list[Candidate]:
    def candidate(name: str, function: str, folder: Path, **rest: Any) -> Candidate:
        arguments = {"model": str(folder), **shared, "notes": str(work / f"{name}.json"), **rest}
        return Candidate(name, f"common.bulk_subjects:{function}", arguments)

    return [
        *(
            candidate(name, "swinkit", model, precision=precision)
            for name, precision in OURS.items()
            if precision == "float32" or bfloat16()
        ),
        candidate(PEERS[0], "transformers", converted(model, work, "transformers")),
        candidate(PEERS[1], "timm", converted(model, work, "timm")),
    ]


def agreement(work: Path, one: str, other: str) -> float | None:
    """Share of files of which two say the same; one that either left out counts as another answer."""
    paths = [work / f"{name}.json" for name in (one, other)]
    if not all(path.exists() for path in paths):
        return None
    first, second = (json.loads(path.read_text("utf-8")) for path in paths)
    files = first.keys() | second.keys()
    return sum(first.get(file) == second.get(file) for file in files) / len(files) if files else None


def summary(found: dict[str, Measured], work: Path, part: float) -> dict[str, Any]:
    ratios = {f"{ours} over {peer}": faster(found, ours, peer) for ours in OURS if ours in found for peer in PEERS}
    return {
        "subjects": {name: measured.to_dict() for name, measured in found.items()},
        "pictures_per_second": {name: asdict(statistics.median(each.turns).inverse.scaled(part)) for name, each in found.items() if each.turns},
        "ratios": {name: asdict(ratio) for name, ratio in ratios.items() if ratio},
        "agreement": {f"{ours} and {peer}": agreement(work, ours, peer) for ours in OURS if ours in found for peer in PEERS},
    }  # fmt: skip


def rows(case: dict[str, Any]) -> list[list[str]]:
    answer = []
    for pair, same in case["agreement"].items():
        ours, peer = pair.split(" and ")
        speeds = [case["pictures_per_second"].get(name) for name in (ours, peer)]
        fault = next((case["subjects"][name]["fault"] for name in (ours, peer) if case["subjects"][name]["fault"]), None)
        ratio = case["ratios"].get(f"{ours} over {peer}")
        times = ratio and ratio["value"]
        bars = [at_least(times, EQUAL)] if OURS[ours] == "float32" else []
        bars += [f"{at_least(times, BY_DEFAULT)} as it comes"] if OURS[ours] == case["comes"] else []
        answer.append(
            [
                ours, peer, figure(speeds[0], 1), fault.splitlines()[0][:60] if fault else figure(speeds[1], 1),
                figure(ratio), "; ".join(bars) or "–",
                f"{same:.2%} ({marked(f'≥ {AGREEMENT:.1%}', same >= AGREEMENT)})" if same is not None else "–",
            ]
        )  # fmt: skip
    return answer


def table(cases: list[dict[str, Any]]) -> Table:
    (case,) = cases
    columns = ("swinkit", "beside", "swinkit, pictures/s", "peer, pictures/s", "times as fast", "bar", "top-1 equal")
    notes = [f"As it comes, swinkit computes in {case['comes']}; the peers in float32."]
    if (learned := case["training_top1"]) is not None:
        notes.append(
            f"{case['pictures']:,} pictures; the model told {learned:.1%} of the last pieces that it was trained on right."
        )
    return Table(columns, rows(case), notes)


def main() -> None:
    chosen = options(__file__, __doc__, count=2000, parts=8, steps=160, pictures="", model="")
    quick = chosen.quick
    count, parts = (48, 3) if quick else (chosen.count, chosen.parts)
    variant, steps, side = ("swin_nano", 30, 56) if quick else ("swin_t", chosen.steps, 224)
    results = Results(__file__, chosen.out, table, chosen.said)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        pictures, model = Path(chosen.pictures or work / "pictures"), Path(chosen.model or work / "model")
        begun = time.monotonic()
        photographs.write_pictures(pictures, count, (0.2, 0.3) if quick else photographs.MEGAPIXELS)
        print(f"{count} pictures, {time.monotonic() - begun:.0f} s", flush=True)
        learned = None if chosen.model else photographs.train(model, variant, steps, side)
        print(f"a trained model, {time.monotonic() - begun:.0f} s, top-1 at the end {learned}", flush=True)
        for path in pictures.rglob("*.jpg"):
            path.read_bytes()  # from the page cache for everybody
        shared = {"folder": str(pictures), "parts": parts}
        pace = Pace(parts, 0.0, 1, most=900)
        found = take_turns(candidates(model, work, shared), pace, say=tell)
        results.add(
            {
                "pictures": count,
                "parts": parts,
                "training_top1": learned,
                "comes": Predictor(model).precision,
                **summary(found, work, count / parts),
            }
        )
    results.finish()


if __name__ == "__main__":
    main()
