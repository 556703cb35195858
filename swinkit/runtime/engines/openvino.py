"""OpenVINO, for one shape: the folded graph, compiled for latency at one picture and for throughput at several."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..silenced import openvino
from .fixed import folded


def build(model: Any, precision: str, shape: tuple[int, ...]) -> Any:
    """A callable from pictures of ``shape`` to (logits, pooled)."""
    ov = openvino()
    example = torch.zeros(shape)
    with torch.no_grad():
        program = torch.export.export(folded(model, shape), (example,), strict=False)
    graph = ov.convert_model(program, example_input=example)
    graph.reshape(list(shape))
    hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
    options = {
        "INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }  # fmt: skip
    compiled = ov.Core().compile_model(graph, "CPU", options)
    request = compiled.create_infer_request()

    def run(images: Tensor) -> tuple[Tensor, Tensor]:
        request.infer([ov.Tensor(images.contiguous().numpy(), shared_memory=True)])
        logits, pooled = (torch.from_numpy(request.get_output_tensor(place).data.copy()) for place in (0, 1))
        return logits, pooled

    return run
