"""Does loading keep up with training? Folders of JPEGs as `swinkit train` reads them, keeping decoded pictures and not, beside ImageFolder and DataLoader
with torchvision's transforms, and beside the pictures that a training step of Swin-T takes.

    python benchmarks/loading.py [--count 256] [--workers 2] [--rounds 5] [--pictures FOLDER]

A step of the loaders is an epoch of --count pictures with the default augmentation: crops, mirror images, RandAugment, erasing. All have as many workers, run
in a process of their own and take turns; none computes while another does. --pictures keeps the pictures in a folder for the next time. Results
go to benchmarks/results/loading.json.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from common import photographs
from common.bars import at_least
from common.measuring import Candidate, Measured, Pace, Results, Table, bfloat16, faster, figure, options, take_turns, tell

from swinkit.study import statistics

KEPT, UNKEPT, PEER, STEP = "swinkit", "swinkit, nothing kept", "torchvision", "training step"
BAR = 1.0  # as many pictures as the step takes


class Setting(NamedTuple):
    """``model`` learns from pictures of ``side`` pixels, ``step`` at once; ``batch`` of them are loaded at once."""

    count: int
    workers: int
    model: str = "swin_t"
    side: int = 224
    batch: int = 32
    step: int = 8


SIZES = {"1 to 3 megapixels": photographs.MEGAPIXELS, "0.15 to 0.25 megapixels": (0.15, 0.25)}
QUICK = {"0.02 to 0.03 megapixels": (0.02, 0.03)}


def candidates(folder: Path, setting: Setting) -> list[Candidate]:
    shared = {"folder": str(folder), "batch": setting.batch, "side": setting.side, "workers": setting.workers}
    learner = {
        "model": setting.model, "batch": setting.step, "size": (setting.side, setting.side),
        "precision": "bfloat16" if bfloat16() else "float32",
    }  # fmt: skip
    return [
        Candidate(KEPT, "common.loading_subjects:ours", {**shared, "keep": True}),
        Candidate(UNKEPT, "common.loading_subjects:ours", {**shared, "keep": False}),
        Candidate(PEER, "common.loading_subjects:torchvision", shared),
        Candidate(STEP, "common.trainers:ours", learner),
    ]


def summary(found: dict[str, Measured], setting: Setting) -> dict[str, Any]:
    """Pictures a second of each, and how many times as many a loader gives as the step takes."""
    each = {name: setting.step if name == STEP else setting.count for name in found}
    speeds = {name: statistics.median(one.turns).inverse.scaled(each[name]) for name, one in found.items() if one.turns}
    keeping_up = {
        name: statistics.ratio(found[STEP].turns, found[name].turns) for name in speeds if name != STEP and STEP in speeds
    }
    return {
        **setting._asdict(), "subjects": {name: one.to_dict() for name, one in found.items()},
        "first": {name: setting.count / one.about["first"] for name, one in found.items() if "first" in one.about},
        "later": {name: asdict(speed) for name, speed in speeds.items()},
        "times_a_step": {name: asdict(ratio.scaled(setting.count / setting.step)) for name, ratio in keeping_up.items()},
        "times_as_fast": asdict(ratio) if (ratio := faster(found, KEPT, PEER)) else None,
    }  # fmt: skip


def rows(case: dict[str, Any]) -> list[list[str]]:
    answer = []
    for name, subject in case["subjects"].items():
        first = case["first"].get(name)
        speed = subject["fault"].splitlines()[0][:60] if subject["fault"] else figure(case["later"].get(name), 1)
        answer.append(
            [
                case["pictures"], name, f"{first:.1f}" if first else "–", speed,
                figure(case["times_as_fast"]) if name == PEER else "–", figure(case["times_a_step"].get(name)),
                at_least(case["times_a_step"].get(name, {}).get("value"), BAR if name == KEPT else None),
            ]
        )  # fmt: skip
    return answer


def table(cases: list[dict[str, Any]]) -> Table:
    columns = (
        "pictures", "what", "first epoch, pictures/s", "later epochs, pictures/s", "swinkit is times as fast", "times a training step",
        "bar",
    )  # fmt: skip
    notes = [f"{cases[0]['count']} pictures, loader workers: {cases[0]['workers']}; the step is one of {cases[0]['model']}."]
    return Table(columns, [row for case in cases for row in rows(case)], notes)


def main() -> None:
    chosen = options(__file__, __doc__, count=256, workers=2, rounds=5, pictures="")
    quick = chosen.quick
    setting = Setting(32, 2, "swin_nano", 96, 8) if quick else Setting(chosen.count, chosen.workers)
    pace = Pace(2, 0.0, 1) if quick else Pace(chosen.rounds, 1.0, 1, most=600)
    results = Results(__file__, chosen.out, table, chosen.said)
    with tempfile.TemporaryDirectory() as folder:
        for name, megapixels in (QUICK if quick else SIZES).items():
            place = Path(chosen.pictures or folder) / name
            photographs.write_pictures(place, setting.count, megapixels)
            print(f"{setting.count} pictures of {name}", flush=True)
            results.add({"pictures": name, **summary(take_turns(candidates(place, setting), pace, say=tell), setting)})
    results.finish()


if __name__ == "__main__":
    main()
