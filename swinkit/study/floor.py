"""The GEMM floor: how fast this machine does nothing but the matrix products of a Swin, with their bias and erf GELU.

Each linear layer of the network, patch mergings and head included, runs once through oneDNN with weights packed for its shape,
as many as there are and each with weights of its own, so that they come from memory as in the network. Left out are the
patch embedding (a convolution), attention between tokens, norms, residuals and every rearrangement; of padding there is none. What a
network takes beyond this time is what an engine can still save.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import torch
from torch import Tensor

from ..config import SwinConfig
from ..devices import onednn_packs
from ..errors import UsageError


@dataclass(frozen=True)
class Gemm:
    """(rows, inner) times (inner, columns), for the layer called ``part``; ``gelu`` follows in the same pass."""

    part: str
    rows: int
    inner: int
    columns: int
    bias: bool = True
    gelu: bool = False

    @property
    def macs(self) -> int:
        return self.rows * self.inner * self.columns


def gemms(config: SwinConfig, batch: int, size: tuple[int, int]) -> list[Gemm]:
    """Every linear layer in the order of the network, for ``batch`` pictures of ``size`` (height, width) pixels."""
    answer = []
    for stage, width in enumerate(config.widths):
        rows = batch * prod(ceil(side / config.strides[stage]) for side in size)
        if stage:
            answer.append(Gemm("merging", rows, 2 * width, width, bias=False))
        hidden = config.hidden_widths[stage]
        block = [
            Gemm("qkv", rows, width, 3 * width, bias=config.qkv_bias),
            Gemm("projection", rows, width, width),
            Gemm("mlp", rows, width, hidden, gelu=True),
            Gemm("mlp", rows, hidden, width),
        ]
        answer += block * config.depths[stage]
    return [*answer, Gemm("head", batch, config.widths[-1], config.num_classes)] if config.num_classes else answer


class Floor:
    """The matrix products ``listed``, ready to run in ``dtype``: calling it computes all of them once.

    Raises :class:`UsageError` where oneDNN is not there, or not for ``dtype``.
    """

    def __init__(self, listed: list[Gemm], dtype: torch.dtype) -> None:
        if not onednn_packs(dtype):
            raise UsageError(
                f"The GEMM floor needs oneDNN with weights of {str(dtype).removeprefix('torch.')}, which this build of torch or this "
                "processor does not have; leave it out with --no-floor"
            )
        generator = torch.Generator().manual_seed(0)
        shapes = {(gemm.rows, gemm.inner) for gemm in listed}
        inputs = {shape: torch.randn(shape, generator=generator).to(dtype) for shape in sorted(shapes)}
        self._calls: list[tuple[Any, ...]] = []
        for gemm in listed:
            weight = torch.randn(gemm.columns, gemm.inner, generator=generator).mul_(gemm.inner**-0.5).to(dtype)
            packed = torch.ops.mkldnn._reorder_linear_weight(weight, gemm.rows)
            bias = torch.zeros(gemm.columns, dtype=dtype) if gemm.bias else None
            after: tuple[Any, ...] = ("gelu", [], "none") if gemm.gelu else ("none", [], "")  # "none" is the erf form, not tanh
            self._calls.append((inputs[gemm.rows, gemm.inner], packed, bias, *after))

    @torch.inference_mode()
    def __call__(self) -> Tensor:
        """Compute all products; returns the last."""
        multiply = torch.ops.mkldnn._linear_pointwise.default
        answer = None
        for call in self._calls:
            answer = multiply(*call)
        assert answer is not None
        return answer
