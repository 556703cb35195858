"""What int8 costs in answers and brings in time: the bundled Fashion-MNIST model, and a Swin-T trained on Fashion-MNIST at 224.

    python benchmarks/int8.py                                # the Swin-T is trained first, for 20 minutes
    python benchmarks/int8.py --models swin_nano
    python benchmarks/int8.py --run runs/fashion_t           # a Swin-T that is trained already
    python benchmarks/int8.py --start swin_t.pth             # weights that it is fine-tuned from; without them from nothing

Calibrated on 300 training pictures, judged on the 10,000 test pictures: agreement of the best class with float32 (wanted: 99 %),
top-1 (at most 0.5 points lower), milliseconds for one picture beside float32 and bfloat16 in OpenVINO. Results go to
benchmarks/results/int8.json; what was measured before of a model that is not asked for stays.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from common.bars import marked
from common.measuring import Results, Table, options, tell

from swinkit.cli.calibrating import find_pictures
from swinkit.errors import GateError
from swinkit.runtime.export.gate import Gate
from swinkit.runtime.export.int8 import export_int8
from swinkit.tasks import load
from swinkit.train import fit

DATA = "fashion"
MODELS = "swin_nano,swin_t"


def trained(folder: Path, minutes: float, start: str) -> str:
    """A Swin-T on Fashion-MNIST at 224 in a new run; ``start`` names weights to fine-tune, without them it begins from nothing."""
    fit(DATA, start or "swin_t", folder, image_size=224, time_limit=minutes, tensorboard=False)
    return str(folder)


def measure(name: str, model: str, data: str) -> dict[str, Any]:
    """Export ``model`` to int8 in a folder that is thrown away."""
    network = load(model)
    pictures = find_pictures(model, network, data, None, quiet=False)
    with tempfile.TemporaryDirectory() as folder:
        try:
            bundle, verdict = export_int8(network, Path(folder) / name, pictures, progress=tell)
        except GateError as refused:
            return {"model": name, "refused": str(refused)}
        return {"model": name, **verdict.to_dict(), "bytes": sum(map(len, bundle.files.values()))}


def row(case: dict[str, Any]) -> tuple[str, ...]:
    if "refused" in case:
        return case["model"], case["refused"].splitlines()[0], *("–",) * 7
    accuracy, milliseconds = case["accuracy"], case["milliseconds"]
    worst = max((drop["drop"] for drop in case["class_drops"]), default=0.0)
    bars, lost = Gate(), accuracy["float32"] - accuracy["int8"]
    return (
        case["model"],
        marked(f"{case['agreement']:.2%}", case["agreement"] >= bars.agreement),
        marked(f"{accuracy['int8']:.2%} ({accuracy['float32']:.2%})", lost <= bars.accuracy_drop),
        f"{worst:.2%}",
        str(len(case["layers_in_float"])),
        *(f"{milliseconds[name]:.2f}" if name in milliseconds else "–" for name in ("int8", "bfloat16", "float32")),
        marked(f"{case['speedup']:.2f}", case["speedup"] >= bars.speedup),
    )


def table(cases: list[dict[str, Any]]) -> Table:
    columns = (
        "model",
        "same class as float32",
        "top-1 (float32)",
        "largest class drop",
        "layers in float",
        "int8, ms",
        "bf16, ms",
        "float32, ms",
        "times as fast as the faster float",
    )
    bars = Gate()
    note = (
        f"Bars: {bars.agreement:.0%} of the same class, at most {100 * bars.accuracy_drop:g} points of top-1, {bars.speedup:g} times as fast; an export that "
        "misses only the last is kept and exits with 4. One picture at a time in OpenVINO."
    )
    return Table(columns, [row(case) for case in cases], [note])


def main() -> None:
    chosen = options(__file__, __doc__, models=MODELS, run="", start="", minutes=20.0)
    wanted = ["swin_nano"] if chosen.quick else chosen.models.split(",")
    results = Results(__file__, chosen.out, table, chosen.said)
    results.keep(lambda case: case["model"] not in wanted)
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted:
            if name == "swin_nano":
                model = "swin_nano.fashion_mnist"
            else:
                model = chosen.run or trained(Path(folder) / "run", chosen.minutes, chosen.start)
            results.add(measure(name, model, "fashion-mini" if chosen.quick else DATA))
    results.finish()


if __name__ == "__main__":
    main()
