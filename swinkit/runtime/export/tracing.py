"""One traced graph of a model for every batch, height and width; padding, shift and mask are computed inside from the sizes."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.utils._sympy.value_ranges import ValueRanges

from ...model.tracing import any_size
from ...preprocessing import Preprocessing
from .bundle import Input

PICTURES = Input()  # normalised, in float32
BATCH = 2  # while tracing: a size of 1 would be taken for a constant


class WithPreprocessing(nn.Module):
    """``model`` for uint8 pictures of the right size, (B, H, W, C) or (B, C, H, W): scaling and normalisation come first."""

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, layout: str) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.model = model
        self.channels_last = layout == "NHWC"
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        planes = images.permute(0, 3, 1, 2) if self.channels_last else images
        return self.model((planes.to(torch.float32) / 255 - self.mean) / self.std)


def trace(model: Any, given: Input = PICTURES) -> ExportedProgram:
    """``model``, a float32 classifier of swinkit on the CPU, as a graph from ``given`` to logits (B, K) for all sizes.

    Traced without torch's cache of what operators give: with sizes that are symbols, looking something up there takes longer than computing it,
    while tracing and, since the program keeps its setting, while it is translated.
    """
    network = model if given.dtype == "float32" else WithPreprocessing(model, model.preprocessing, given.layout)
    sample = _sample(model.config, given)
    axes = {0: Dim.DYNAMIC, **dict.fromkeys(_spatial(given), Dim.DYNAMIC)}
    uncached = torch._dynamo.config.patch(fake_tensor_cache_enabled=False)
    with torch.no_grad(), any_size(), uncached, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(network.eval(), (sample,), dynamic_shapes=(axes,), strict=False)
    return _unguarded(program)


def _sample(config: Any, given: Input) -> Tensor:
    """A picture batch that gives every stage several windows on each axis, of sides that are not alike."""
    rows, columns = (
        max(config.strides[stage] * config.stage_window(stage)[axis] for stage in range(config.num_stages)) * (2 + axis) + 1
        for axis in (0, 1)
    )
    shape = (BATCH, rows, columns, config.in_channels) if given.layout == "NHWC" else (BATCH, config.in_channels, rows, columns)
    return torch.zeros(shape, dtype=getattr(torch, given.dtype))


def _spatial(given: Input) -> tuple[int, int]:
    return (1, 2) if given.layout == "NHWC" else (2, 3)


def _unguarded(program: ExportedProgram) -> ExportedProgram:
    """``program`` without what the tracer noted of the sample's sizes.

    The tracer asks questions such as "is the batch 1?" whose answer changes strides only. That no answer mattered is what
    the golden pictures show, before the graph gets its name.
    """
    program._guards_code = []
    for symbol, values in program.range_constraints.items():
        program.range_constraints[symbol] = ValueRanges(1, values.upper)
    return program
