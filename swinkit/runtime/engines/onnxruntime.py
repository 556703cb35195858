"""ONNX Runtime, for one shape, in float32: it has no kernels for bfloat16 on a processor."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from .fixed import folded
from .native import spelled_out


def build(model: Any, precision: str, shape: tuple[int, ...]) -> Any:
    """A callable from pictures of ``shape`` to (logits, pooled)."""
    import onnxruntime

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(folded(model, shape, mix=spelled_out), (torch.zeros(shape),), dynamo=True, verbose=False)
    assert program is not None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(images: Tensor) -> tuple[Tensor, Tensor]:
        logits, pooled = session.run(None, {name: images.numpy()})
        return torch.from_numpy(logits), torch.from_numpy(pooled)

    return run
