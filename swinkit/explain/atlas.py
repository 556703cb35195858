"""The bias atlas: relative position bias of every head as a surface over offsets, and what it alone makes of attention.

V1 looks it up in a learned table (Swin, section 3.2); V2 computes it from log-spaced coordinates (log-CPB, V2, section 3.3). Both
become pictures of 2h-1 rows and 2w-1 columns, query minus key, and both can be read again at another window.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..config import height_and_width
from ..errors import UsageError
from ..model.backbone import SwinBackbone
from ..model.position_bias import MlpBias, TableBias, check_memory
from ..model.windows import Size
from ..weights.resize import METHODS
from .seeing import backbone_of, row_entropy, row_reach

BYTES_PER_PAIR = 32  # of tokens: its index, and a head's softmax, entropy and distance


@dataclass(frozen=True)
class BlockBias:
    """Bias of the heads of one block: ``surface`` (h, 2 height - 1, 2 width - 1) for a ``window`` of height x width tokens.

    ``entropy`` (h,) in bits and ``reach`` (h,) in tokens are those of the softmax of the bias alone, averaged over the window's
    tokens: where a head looks before it has seen anything. Even attention has log2(height x width) bits.
    """

    stage: int
    block: int
    version: int
    window: Size
    surface: Tensor = field(repr=False)
    entropy: Tensor = field(repr=False)
    reach: Tensor = field(repr=False)


@torch.no_grad()
def atlas(model: nn.Module, window: int | Size | None = None, method: str = "bicubic") -> list[BlockBias]:
    """Every block's bias, or what it becomes when the windows are resized to ``window`` tokens.

    A table is resized by ``method``, "bicubic" or "geometric" (:mod:`swinkit.weights.resize`); log-CPB is asked at the new
    window's coordinates, spaced as it was trained. Raises :class:`UsageError` for another method, and for a window whose pairs of
    tokens do not fit into memory.
    """
    if method not in METHODS:
        raise UsageError(f"There is no resizing {method!r}. Known: {', '.join(METHODS)}")
    target = None if window is None else height_and_width(window, "window", "tokens")
    if target is not None:
        check_memory([target], BYTES_PER_PAIR)
    backbone = backbone_of(model)
    return [
        _described(stage, block, backbone.config.version, _bias_at(module, target, method))
        for stage, block, module in _biases(backbone)
    ]


def _biases(backbone: SwinBackbone) -> Sequence[tuple[int, int, TableBias | MlpBias]]:
    return [
        (number, index, block.attention.bias)  # type: ignore[union-attr, misc]
        for number, stage in enumerate(backbone.stages)
        for index, block in enumerate(stage.blocks)  # type: ignore[arg-type]
    ]


def _bias_at(module: TableBias | MlpBias, window: Size | None, method: str) -> TableBias | MlpBias:
    """``module``, or a bias of its kind for ``window``, on the processor."""
    if window is None or window == module.window:
        return module
    module = copy.deepcopy(module).cpu()  # where the new one's offsets are
    if isinstance(module, TableBias):
        resized = TableBias(window, module.table.shape[1])
        resized.table.copy_(METHODS[method](module.table, module.window, window))
        return resized
    asked = MlpBias(window, module.mlp[-1].out_features, module.pretrained_window)  # type: ignore[arg-type]
    asked.mlp = module.mlp
    return asked


def _described(stage: int, block: int, version: int, bias: TableBias | MlpBias) -> BlockBias:
    height, width = bias.window
    offsets = (
        (bias.table if isinstance(bias, TableBias) else bias.values()).detach().float().cpu().T.contiguous()
    )  # (h, offsets)
    # a head at a time: all pairs of tokens of all heads of a large window would not fit
    index, looks = bias.index.cpu(), []
    for head in offsets:
        share = head[index].softmax(dim=-1)
        looks.append(torch.stack((row_entropy(share).mean(), row_reach(share, bias.window).mean())))
    entropy, reach = torch.stack(looks, dim=1)
    return BlockBias(stage, block, version, bias.window, offsets.view(-1, 2 * height - 1, 2 * width - 1), entropy, reach)
