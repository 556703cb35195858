"""What int8 costs in answers and brings in time: the bundled Fashion-MNIST model, and a Swin-T trained on Fashion-MNIST at 224.

    python benchmarks/int8.py                            # both; the Swin-T is trained first, for 20 minutes
    python benchmarks/int8.py --only swin_nano
    python benchmarks/int8.py --only swin_t --run runs/fashion_t      # a run that is there already

Calibrated on 300 training pictures, judged on the 10,000 test pictures: agreement of the best class with float32 (wanted: 99 %),
top-1 (at most 0.5 points lower), milliseconds for one picture beside float32 and bfloat16 in OpenVINO. Results go to
benchmarks/results/int8.json, one entry per model; what was measured before of the other model stays.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from swinkit.cli.calibrating import find_pictures
from swinkit.errors import GateError
from swinkit.runtime.export.int8 import export_int8
from swinkit.tasks import load
from swinkit.train import fit

RESULTS = Path(__file__).with_name("results") / "int8.json"
DATA = "fashion"
MODELS = {"swin_nano": "swin_nano.fashion_mnist", "swin_t": None}


def trained(folder: Path, minutes: float, start: str | None) -> str:
    """A Swin-T on Fashion-MNIST at 224 in a new run; ``start`` names weights to fine-tune, without them it begins from nothing."""
    fit(DATA, start or "swin_t", folder, image_size=224, time_limit=minutes, tensorboard=False)
    return str(folder)


def measure(name: str, model: str) -> dict[str, Any]:
    """Export ``model`` to int8 in a folder that is thrown away."""
    network = load(model)
    pictures = find_pictures(model, network, DATA, None, quiet=False)
    with tempfile.TemporaryDirectory() as folder:
        try:
            bundle, verdict = export_int8(network, Path(folder) / name, pictures, progress=lambda line: print(line, flush=True))
        except GateError as refused:
            return {"model": model, "refused": str(refused)}
        size = sum(map(len, bundle.files.values()))
    print(f"\n{name}\n{verdict}\n", flush=True)
    versions = {package: metadata.version(package) for package in ("openvino", "nncf", "torch")}
    return {"model": model, **verdict.to_dict(), "bytes": size, "versions": versions, "machine": platform.processor()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(MODELS))
    parser.add_argument("--run", help="a trained Swin-T instead of training one")
    parser.add_argument("--start", help="weights that the Swin-T is fine-tuned from, for instance a file of torchvision")
    parser.add_argument("--minutes", type=float, default=20, help="of training")
    chosen = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name, model in MODELS.items():
            if chosen.only in (None, name):
                model = model or chosen.run or trained(Path(folder) / "run", chosen.minutes, chosen.start)
                results[name] = measure(name, model)
                RESULTS.parent.mkdir(exist_ok=True)
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
