"""Vision Transformers to compare a Swin with: DeiT's sizes, as torchvision builds them, and what they cost.

ViT: Dosovitskiy et al., arXiv 2010.11929; DeiT: Touvron et al., arXiv 2012.12877, table 1. Attention is global, so that its MACs
grow with the square of the number of tokens (Swin, equation 1).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class VitConfig:
    """A Vision Transformer with a class token; ``gmacs`` are published, of one picture of 224 x 224."""

    name: str
    width: int
    heads: int
    gmacs: float
    depth: int = 12
    patch: int = 16
    mlp_ratio: int = 4
    num_classes: int = 1000

    def tokens(self, size: tuple[int, int]) -> int:
        """Patches of a picture of ``size`` (height, width) pixels, and the class token."""
        return (size[0] // self.patch) * (size[1] // self.patch) + 1


# published MACs: DeiT-S and DeiT-B as in Swin, table 1; DeiT-Ti as in CaiT (arXiv 2103.17239), table 3
ROWS = (
    VitConfig("deit_ti", 192, 3, 1.3),
    VitConfig("deit_s", 384, 6, 4.6),
    VitConfig("deit_b", 768, 12, 17.5),
)
VITS = {row.name: row for row in ROWS}


@dataclass(frozen=True)
class VitMacs:
    """MACs of one picture by part, named as in :class:`~swinkit.study.macs.Macs`."""

    patch: int
    qkv: int
    attention: int
    projection: int
    mlp: int
    head: int

    @property
    def total(self) -> int:
        return sum(asdict(self).values())


def count_vit_macs(config: VitConfig, size: tuple[int, int]) -> VitMacs:
    """MACs of one picture of ``size`` (height, width) pixels, which the patch must divide."""
    tokens, width = config.tokens(size), config.width
    layer = tokens * width * width
    return VitMacs(
        patch=(tokens - 1) * width * 3 * config.patch**2,
        qkv=config.depth * 3 * layer,
        attention=config.depth * 2 * tokens * tokens * width,
        projection=config.depth * layer,
        mlp=config.depth * 2 * config.mlp_ratio * layer,
        head=width * config.num_classes,
    )


def build_vit(config: VitConfig, size: int) -> nn.Module:
    """torchvision's network with fresh weights for square pictures of ``size`` pixels, in evaluation mode."""
    from torchvision.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        size, config.patch, config.depth, config.heads, config.width, config.mlp_ratio * config.width,
        num_classes=config.num_classes,
    ).eval()  # fmt: skip
