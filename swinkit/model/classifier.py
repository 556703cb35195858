"""The published classification network: backbone, norm, global average pooling, one linear layer (Swin, section 3.1)."""

from __future__ import annotations

from torch import Tensor, nn

from ..config import SwinConfig
from .backbone import SwinBackbone, initialise
from .block import LayerNorm


class SwinClassifier(nn.Module):
    """Pictures (B, in_channels, H, W) of any size to logits (B, num_classes).

    With ``num_classes`` 0 the answer is the pooled embedding, (B, C of the last stage).
    """

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = SwinBackbone(config)
        self.norm = LayerNorm(config.widths[-1])
        self.head = nn.Linear(config.widths[-1], config.num_classes) if config.num_classes else nn.Identity()
        initialise(self.head)

    def features(self, images: Tensor) -> list[Tensor]:
        """Raw output of each stage as (B, C_i, H_i, W_i); sides are ceilings, strides patch * 2^i."""
        return self.backbone.features(images)

    def pooled(self, images: Tensor) -> Tensor:
        """Embedding (B, C of the last stage): the mean over all tokens of the normed last map."""
        # called as a module, so that hooks at it are heard
        tokens = self.backbone(images)[-1].permute(0, 2, 3, 1)
        return self.norm(tokens).mean(dim=(1, 2))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.pooled(images))
