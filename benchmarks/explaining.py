"""How long explaining one photograph takes: every map without its checks, the checks of the class map, the whole page.

    python benchmarks/explaining.py [--variant swin_t] [--repeats 3] [--threads 2]

Random weights, which take as long as trained ones; the photograph is a bundled one. Raw seconds go to
benchmarks/results/explaining.json. What is promised for swin_t on two cores: maps below 5 s, the checks of the class map below 30 s.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

import swinkit
from swinkit import machine
from swinkit.data.bundled import ASSETS
from swinkit.data.decode import decode
from swinkit.explain.explanation import Explainer
from swinkit.explain.scores import class_target
from swinkit.preprocessing import Preprocessing
from swinkit.tasks import described

RESULTS = Path(__file__).with_name("results") / "explaining.json"


def look(model: torch.nn.Module, picture: Path, checked: bool, everything: bool) -> None:
    """The class map alone, or all that ``swinkit explain`` shows by default."""
    explainer = Explainer(model, decode(picture, 3), checked)
    explainer.targets = [class_target(model, 0), class_target(model, 1)]
    first = explainer.of_target(explainer.targets[0], "cam")
    if not everything:
        return
    explainer.of_target(explainer.targets[1], "cam")
    explainer.of_target(explainer.targets[0], "rollout")
    row, column = first.peak
    left, top, right, bottom = explainer.frame.box_of((column, row, column + 1, row + 1))
    for block in (-2, -1):
        explainer.of_attention((left + right) / 2 - 0.5, (top + bottom) / 2 - 0.5, block=block)
    for stage in range(explainer.config.num_stages):
        explainer.of_field(stage)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", default="swin_t")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    model = swinkit.create_model(given.variant)
    size = model.config.image_size
    described(model, [f"class {index}" for index in range(1000)], Preprocessing(size=size)).eval()
    picture = ASSETS / "photographs" / "chelsea.jpg"
    subjects: dict[str, Callable[[], None]] = {
        "every map, unchecked": lambda: look(model, picture, checked=False, everything=True),
        "the class map with its checks": lambda: look(model, picture, checked=True, everything=False),
        "every map with its checks": lambda: look(model, picture, checked=True, everything=True),
    }
    samples: dict[str, list[float]] = {name: [] for name in subjects}
    here = {"cores": os.cpu_count(), "processor": machine.processor()["name"], "torch": torch.__version__}
    found = {"variant": given.variant, "threads": given.threads, "machine": here, "seconds": samples}
    given.out.parent.mkdir(exist_ok=True)
    for _ in range(given.repeats):
        for name, subject in subjects.items():
            begun = time.perf_counter()
            subject()
            samples[name].append(round(time.perf_counter() - begun, 3))
            given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, values in samples.items():
        print(f"{name:32} median {statistics.median(values):6.2f} s, {min(values):.2f} to {max(values):.2f}")


if __name__ == "__main__":
    main()
