"""SimMIM: hide cells of a picture and paint them anew, all tokens going through the encoder or, sparse, a quarter of them.

Faithful: Xie et al., arXiv 2111.09886. Sparse: uniform masking with secondary masking, Li et al., UM-MAE, arXiv 2205.10063.

Shapes: B pictures, C channels, H and W pixels, R and S rows and columns of cells. A mask is (B, R, S) uint8 and says of each cell
whether it is VISIBLE, COVERED by a learned token, or DROPPED before the encoder.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Masking, SwinConfig
from .backbone import SwinBackbone, initialise
from .block import LayerNorm
from .windows import Size, counts_of

VISIBLE, COVERED, DROPPED = 0, 1, 2
LEAST_WIDTH = 64  # channels from which the sparse decoder paints a 2x2


def cell_grid(size: Size, masking: Masking) -> Size:
    """Rows and columns of cells that cover a picture of ``size`` pixels; sparse, they come in pairs."""
    if masking.sparse:
        rows, columns = counts_of(size, (2 * masking.cell, 2 * masking.cell))
        return 2 * rows, 2 * columns
    return counts_of(size, (masking.cell, masking.cell))


def compacted(config: SwinConfig, masking: Masking) -> SwinConfig:
    """The Swin that sees what is left of a picture of ``config``: all of it, or, sparse, a picture of half the side.

    Its window is the one nearest to the configured that pads least.
    """
    if not masking.sparse:
        return config
    size = tuple(count // 2 * masking.cell for count in cell_grid(config.image_size, masking))
    grid = [-(-side // config.patch_size) for side in size]
    wanted = min(*grid, max(config.window_size))
    window = min((wanted, wanted + 1, max(1, wanted - 1)), key=lambda extent: sum(-side % extent for side in grid))
    return SwinConfig.model_validate({**config.model_dump(), "image_size": size, "window_size": window})


def random_mask(chance: Tensor, ratio: float) -> Tensor:
    """Cover the ceil(``ratio`` x cells) cells of lowest ``chance`` (B, R, S), uniform numbers (SimMIM, section 3.2)."""
    flat = chance.flatten(1)
    order = flat.argsort(dim=1, stable=True)
    mask = torch.zeros_like(flat, dtype=torch.uint8)
    return mask.scatter_(1, order[:, : math.ceil(ratio * flat.shape[1])], COVERED).view(chance.shape)


def uniform_mask(chance: Tensor, covered: float, within: Size | None = None) -> Tensor:
    """Keep the cell of lowest ``chance`` (B, R, S) of every 2x2, and cover the share ``covered`` of those kept, rounded.

    Only cells in the first rows and columns, ``within`` of them, are kept: those behind are padding, of which nothing is learned.
    Which of some independent numbers is lowest says nothing about how low it is, so the same numbers serve both draws, the second
    by how likely it is that all would be higher (UM-MAE, section 3.1 and 3.2).
    """
    rows, columns = within or chance.shape[1:]
    inside = torch.zeros_like(chance[:1], dtype=torch.bool)
    inside[:, :rows, :columns] = True
    quads = group_2x2(chance.masked_fill(~inside, math.inf))
    lowest, kept = quads.min(dim=-1)
    higher = (1 - lowest) ** group_2x2(inside).sum(dim=-1)
    order = higher.flatten(1).argsort(dim=1, stable=True, descending=True)[:, : round(covered * lowest[0].numel())]
    state = torch.zeros_like(order.new_empty(lowest.shape).flatten(1), dtype=torch.uint8).scatter_(1, order, COVERED)
    mask = torch.full_like(quads, DROPPED, dtype=torch.uint8)
    return ungroup_2x2(mask.scatter_(-1, kept[..., None], state.view(*lowest.shape, 1)))


def group_2x2(cells: Tensor) -> Tensor:
    """(B, R, S) to (B, R / 2, S / 2, 4): each 2x2 in reading order."""
    batch, rows, columns = cells.shape
    return cells.view(batch, rows // 2, 2, columns // 2, 2).transpose(2, 3).flatten(3)


def ungroup_2x2(quads: Tensor) -> Tensor:
    """The inverse of :func:`group_2x2`."""
    batch, rows, columns, _ = quads.shape
    return quads.view(batch, rows, columns, 2, 2).transpose(2, 3).reshape(batch, 2 * rows, 2 * columns)


def grow(cells: Tensor, factor: int, size: Size) -> Tensor:
    """(B, R, S) to (B, *size): each cell ``factor`` wide and high, what exceeds ``size`` cut off."""
    return cells.repeat_interleave(factor, 1).repeat_interleave(factor, 2)[:, : size[0], : size[1]]


def kept_cells(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Of a sparse mask, which cell of each 2x2 is kept, in 0..3, and whether it is VISIBLE or COVERED; both (B, R / 2, S / 2)."""
    quads = group_2x2(mask)
    state, kept = quads.min(dim=-1)
    return kept, state


def compact(images: Tensor, kept: Tensor, cell: int) -> Tensor:
    """The ``kept`` (B, R / 2, S / 2) cells of pictures (B, C, H, W), side by side: (B, C, R / 2 * cell, S / 2 * cell).

    Pictures are padded with zeros at the bottom and right to whole pairs of cells.
    """
    batch, channels, height, width = images.shape
    rows, columns = kept.shape[1:]
    x = F.pad(images, (0, 2 * columns * cell - width, 0, 2 * rows * cell - height))
    x = x.view(batch, channels, rows, 2, cell, columns, 2, cell).permute(0, 2, 5, 3, 6, 1, 4, 7).flatten(3, 4)
    place = kept.view(batch, rows, columns, 1, 1, 1, 1).expand(-1, -1, -1, 1, channels, cell, cell)
    chosen = x.gather(3, place).squeeze(3)  # (B, R / 2, S / 2, C, cell, cell)
    return chosen.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels, rows * cell, columns * cell)


def normalised(images: Tensor, side: int) -> Tensor:
    """Each pixel of (B, C, H, W) less the mean of its ``side`` x ``side`` neighbourhood, by its deviation (V2, appendix A2)."""
    mean, deviation = neighbourhood(images, side)
    return (images - mean) / deviation


def neighbourhood(images: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the ``side`` x ``side`` pixels around each of (B, C, H, W), of those inside the picture."""

    def pool(x: Tensor, inside: bool) -> Tensor:
        return F.avg_pool2d(x, side, stride=1, padding=side // 2, count_include_pad=not inside)

    mean = pool(images, True)
    count = pool(torch.ones_like(images[:1, :1]), False) * side**2
    variance = (pool(images**2, True) - mean**2) * (count / (count - 1).clamp(min=1))
    return mean, (variance.clamp(min=0) + 1e-6).sqrt()


def reconstruction_loss(images: Tensor, painted: Tensor, mask: Tensor, masking: Masking) -> Tensor:
    """Mean absolute difference on the hidden pixels, of all channels (SimMIM, section 3.4); a scalar in float32."""
    target = normalised(images, masking.normalise) if masking.normalise else images
    hidden = (grow(mask, masking.cell, (images.shape[2], images.shape[3])) != VISIBLE)[:, None].float()
    apart = (target.float() - painted.float()).abs() * hidden
    return apart.sum() / (hidden.sum() + 1e-5) / images.shape[1]


class ReconstructionHead(nn.Module):
    """The learned token in the place of what is hidden, and one linear layer from each last token to its pixels."""

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.stride = config.strides[-1]
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.embed_dim))
        self.decoder = nn.Conv2d(config.widths[-1], self.stride**2 * config.in_channels, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.trunc_normal_(self.mask_token, std=0.02)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Tokens (B, h, w, channels of the last stage) to pixels (B, C, h * stride, w * stride), whatever ``mask`` hid."""
        return F.pixel_shuffle(self.decoder(x.permute(0, 3, 1, 2)), self.stride)


class SparseReconstructionHead(nn.Module):
    """Linear layers from the last tokens to the pixels of each 2x2, by the place of its kept cell.

    A transformer for a decoder, as published, gathers across the picture in the encoder's place. Linear layers cannot, which leaves it
    to the encoder.
    """

    def __init__(self, config: SwinConfig, masking: Masking) -> None:
        super().__init__()
        self.cell, self.factor = masking.cell, config.strides[-1] // masking.cell
        width = max(LEAST_WIDTH, config.widths[-1] // self.factor**2)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.embed_dim))
        self.places = nn.Linear(config.widths[-1], self.factor**2 * 4 * width)
        self.pixels = nn.Linear(width, 4 * masking.cell**2 * config.in_channels)
        self.reset_parameters()
        for child in self.children():
            child.apply(initialise)

    def reset_parameters(self) -> None:
        nn.init.trunc_normal_(self.mask_token, std=0.02)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Tokens (B, h, w, channels of the last stage) of a compacted picture to all pixels (B, C, R * cell, S * cell)."""
        kept, _ = kept_cells(mask)
        x = F.pixel_shuffle(self.places(x).permute(0, 3, 1, 2), self.factor)[..., : kept.shape[1], : kept.shape[2]]
        x = x.unflatten(1, (4, -1)).take_along_dim(kept[:, None, None], dim=1).squeeze(1)  # (B, width, R / 2, S / 2)
        return F.pixel_shuffle(self.pixels(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), 2 * self.cell)


class SimMIM(nn.Module):
    """Pictures (B, C, H, W) of any size and a mask (B, R, S) of their cells to painted pictures of the same shape.

    ``backbone`` and ``norm`` are those of an ordinary Swin, for whoever learns with them next.
    """

    def __init__(self, config: SwinConfig, masking: Masking) -> None:
        super().__init__()
        masking.fits(config)
        self.config, self.masking = config, masking
        self.backbone = SwinBackbone(compacted(config, masking))
        self.norm = LayerNorm(config.widths[-1])
        self.reconstruction = SparseReconstructionHead(config, masking) if masking.sparse else ReconstructionHead(config)

    def encode(self, images: Tensor, mask: Tensor) -> Tensor:
        """Normed tokens of the last stage, (B, h, w, channels of the last stage)."""
        if self.masking.sparse:
            kept, mask = kept_cells(mask)
            images = compact(images, kept, self.masking.cell)
        return self.norm(self.backbone.run_stages(self.cover(self.backbone.embed(images), mask))[-1])

    def cover(self, x: Tensor, mask: Tensor) -> Tensor:
        """Tokens (B, H', W', channels) with the learned one where ``mask`` covers; it keeps its place where places are learned."""
        covered = grow(mask, self.masking.cell // self.config.patch_size, (x.shape[1], x.shape[2])) == COVERED
        token = self.reconstruction.mask_token[None].to(x.dtype)
        if self.backbone.patch_embed.position is not None:
            token = token + self.backbone.patch_embed.position_for(x)
        return torch.where(covered[..., None], token, x)

    def forward(self, images: Tensor, mask: Tensor) -> Tensor:
        painted = self.reconstruction(self.encode(images, mask), mask)
        return painted[..., : images.shape[2], : images.shape[3]]

    def pooled(self, images: Tensor) -> Tensor:
        """Embedding (B, C of the last stage) of whole pictures, as a classifier's."""
        return self.norm(self.backbone.run_stages(self.backbone.embed(images))[-1]).mean(dim=(1, 2))
