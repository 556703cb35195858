"""One export, traced once: its largest difference from PyTorch at seven sizes and three batches, in ONNX Runtime and OpenVINO.

    python benchmarks/export.py

Swin-T at 224 and Swin V2-T at 256 with random weights, larger than fresh ones so that every block counts and logits spread by about 1.
Results go to benchmarks/results/export.json, with the seconds that each export took, and that its parts did.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from common.bars import marked
from common.measuring import Results, Table, options, tell

import swinkit
from swinkit.runtime.export.exporting import export
from swinkit.tasks import described
from swinkit.weights.files import default_preprocessing

MODELS = ("swin_t", "swinv2_t")
BAR = 1e-4


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


def measure(name: str) -> dict[str, Any]:
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        bundle = export(model_with_large_weights(name), Path(folder) / "bundle", progress=tell)
        return {
            "model": name,
            "seconds": round(time.perf_counter() - begun),
            "parts": {part: round(taken, 1) for part, taken in bundle.seconds.items()},
            "logits_std": min(float(logits.std()) for logits in bundle.golden.logits.values()),
            "bytes": sum(map(len, bundle.files.values())),
            "checks": bundle.manifest.checks,
        }


def row(case: dict[str, Any]) -> tuple[str, ...]:
    worst: dict[str, float] = {}
    for check in case["checks"]:
        worst[check["runtime"]] = max(worst.get(check["runtime"], 0.0), check["error"])
    sizes = len({tuple(check["size"]) for check in case["checks"]})
    return (
        case["model"],
        *(f"{worst[runtime]:.1e}" for runtime in ("onnxruntime", "openvino")),
        marked("≤ 1e-4", max(worst.values()) <= BAR),
        str(sizes),
        f"{case['seconds']} s",
    )


def table(cases: list[dict[str, Any]]) -> Table:
    columns = ("model", "ONNX Runtime", "OpenVINO", "bar", "sizes, each with batches 1 to 3", "export took")
    return Table(columns, [row(case) for case in cases], ("Largest difference of a logit from PyTorch's.",))


def main() -> None:
    chosen = options(__file__, __doc__)
    results = Results(__file__, chosen.out, table, chosen.said)
    for name in ("swin_nano",) if chosen.quick else MODELS:
        results.add(measure(name))
    results.finish()


if __name__ == "__main__":
    main()
