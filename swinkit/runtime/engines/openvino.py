"""OpenVINO, for one shape: the folded graph, compiled for latency."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor, nn

from ..kinds import OPENVINO_HINTS
from ..silenced import openvino
from .fixed import folded
from .native import spelled_out


class Pooled(nn.Module):
    """The embeddings of ``network`` alone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)[1]


def build(model: Any, precision: str, shape: tuple[int, ...]) -> Any:
    """A callable from pictures of ``shape`` to (logits, pooled)."""
    ov = openvino()
    example, places = torch.zeros(shape), (0, 1)
    network = folded(model, shape, mix=spelled_out)
    if isinstance(network.head, nn.Identity):  # its two answers are one tensor, which OpenVINO refuses
        network, places = Pooled(network), (0, 0)
    with torch.no_grad():
        program = torch.export.export(network, (example,), strict=False)
    graph = ov.convert_model(program, example_input=example)
    graph.reshape(list(shape))
    options = {
        "INFERENCE_PRECISION_HINT": OPENVINO_HINTS[precision], "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }  # fmt: skip
    compiled = ov.Core().compile_model(graph, "CPU", options)
    request, alone = compiled.create_infer_request(), threading.Lock()

    def run(images: Tensor) -> tuple[Tensor, Tensor]:
        given = ov.Tensor(images.contiguous().numpy(), shared_memory=True)
        with alone:  # a request is one thread's until its answers are copied
            request.infer([given])
            logits, pooled = (torch.from_numpy(request.get_output_tensor(place).data.copy()) for place in places)
        return logits, pooled

    return run
