"""How long explaining one photograph takes: every map without its checks, the checks of the class map, the whole page.

    python benchmarks/explaining.py [--variant swin_t] [--repeats 3] [--threads 2]

Random weights, which take as long as trained ones; the photograph is a bundled one, the classes and maps are those that `swinkit explain`
shows by default. The bars are for swin_t on two cores. Results go to benchmarks/results/explaining.json.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NamedTuple

import torch
from common.bars import at_most
from common.measuring import Results, Table, figure, medians, options, timed

import swinkit
from swinkit.cli.explain import chosen as likeliest
from swinkit.cli.explain import looked
from swinkit.cli.pages.asked import Asked
from swinkit.data.bundled import ASSETS
from swinkit.data.decode import decode
from swinkit.explain.explanation import Explainer
from swinkit.preprocessing import Preprocessing
from swinkit.tasks import described

BARRED = "swin_t"


class Subject(NamedTuple):
    """``everything``: all maps, else the class map alone. ``bar``: seconds that are promised."""

    checked: bool
    everything: bool
    bar: int | None = None


SUBJECTS = {
    "every map, unchecked": Subject(checked=False, everything=True, bar=5),
    "the class map with its checks": Subject(checked=True, everything=False, bar=30),
    "every map with its checks": Subject(checked=True, everything=True),
}


def look(model: torch.nn.Module, picture: Path, subject: Subject) -> None:
    explainer = Explainer(model, decode(picture, 3), subject.checked)
    explainer.targets = likeliest(explainer, ())
    if subject.everything:
        looked(explainer, Asked("any", picture), quiet=True)
    else:
        explainer.of_target(explainer.targets[0])


def table(cases: list[dict[str, Any]]) -> Table:
    variant, threads = cases[0]["variant"], cases[0]["threads"]
    bars = {name: subject.bar for name, subject in SUBJECTS.items() if variant == BARRED}
    rows = [[name, figure(seconds, None), at_most(seconds.value, bars.get(name))] for name, seconds in medians(cases).items()]
    return Table(("maps of one picture", "s", "bar"), rows, [f"{variant} with random weights, threads: {threads}."])


def main() -> None:
    chosen = options(__file__, __doc__, variant="swin_t", repeats=3, threads=2)
    variant = "swin_nano" if chosen.quick else chosen.variant
    results = Results(__file__, chosen.out, table, chosen.said)
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    model = swinkit.create_model(variant)
    classes = [f"class {index}" for index in range(model.config.num_classes)]
    described(model, classes, Preprocessing(size=model.config.image_size)).eval()
    picture = ASSETS / "photographs" / "chelsea.jpg"
    subjects = {name: functools.partial(look, model, picture, subject) for name, subject in SUBJECTS.items()}
    for _ in range(1 if chosen.quick else chosen.repeats):
        results.add({"variant": variant, "threads": chosen.threads, "seconds": timed(subjects)})
    results.finish()


if __name__ == "__main__":
    main()
