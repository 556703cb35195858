"""One export, traced once: its largest difference from PyTorch at seven sizes and three batches, in ONNX Runtime and OpenVINO.

    python benchmarks/export.py [--only swin_t]

Swin-T at 224 and Swin V2-T at 256 with random weights, larger than fresh ones so that every block counts. Results go to
benchmarks/results/export.json, with the seconds that the whole export took.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import swinkit
from swinkit.runtime.export.exporting import export
from swinkit.tasks import described
from swinkit.weights.files import default_preprocessing

RESULTS = Path(__file__).with_name("results") / "export.json"
MODELS = ("swin_t", "swinv2_t")


def model_with_large_weights(name: str) -> Any:
    torch.manual_seed(0)
    model = swinkit.create_model(name, num_classes=1000)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=1.5 / parameter[0].numel() ** 0.5)
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.fill_(1)
    return described(model, [str(index) for index in range(1000)], default_preprocessing(model.config))


def measure(name: str, target: str) -> list[dict[str, Any]]:
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        network = model_with_large_weights(name)
        bundle = export(network, Path(folder) / "bundle", target, progress=lambda line: print(line, flush=True))  # type: ignore[arg-type]
        spread = min(float(logits.std()) for logits in bundle.golden.logits.values())
        return [
            {"model": name, "target": target, "seconds": round(time.perf_counter() - begun), "logits_std": spread, **check}
            for check in bundle.manifest.checks
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=MODELS)
    only, rows = parser.parse_args().only, []
    for name in MODELS:
        if only in (None, name):
            rows += measure(name, "onnx")
    worst = {
        name: max(row["error"] for row in rows if row["model"] == name) for name in dict.fromkeys(row["model"] for row in rows)
    }
    print(
        "\n".join(
            f"{name}: at most {error:.1e} from PyTorch, of {len(rows)} runtimes and sizes" for name, error in worst.items()
        )
    )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
