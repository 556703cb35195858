"""Learning without labels: which cells of each picture are hidden, the loss of painting them, and how that looks.

B pictures of C channels, R x S cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..config import Masking
from ..data.randomness import MASK, keys, uniforms
from ..data.rgb import as_rgb, tiled
from ..data.transforms import visible
from ..errors import UsageError
from ..model.simmim import VISIBLE, cell_grid, grow, neighbourhood, random_mask, reconstruction_loss, uniform_mask
from ..model.windows import counts_of

SHOWN_SIDE = 96  # pixels, to which smaller pictures are enlarged on the sheet


@dataclass(frozen=True)
class Hidden:
    """A batch ready for the loss: ``images`` (B, C, H, W), ``mask`` (B, R, S) uint8, ``indices`` (B,)."""

    images: Tensor
    mask: Tensor
    indices: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> Hidden:
        return Hidden(self.images[part], self.mask[part], self.indices[part])


def sample_masks(size: tuple[int, int], masking: Masking, seed: int, epoch: int, indices: np.ndarray) -> Tensor:
    """Masks (B, R, S) of the pictures ``indices`` of ``size`` pixels: a function of (seed, epoch, index) alone."""
    rows, columns = cell_grid(size, masking)
    chance = uniforms(keys(seed, epoch, np.asarray(indices), MASK), rows * columns)
    cells = torch.from_numpy(chance).view(-1, rows, columns)
    if not masking.sparse:
        return random_mask(cells, masking.ratio)
    return uniform_mask(cells, masking.covered, counts_of(size, (masking.cell, masking.cell)))


def check_visible(size: tuple[int, int], masking: Masking) -> None:
    """Raises :class:`UsageError` where ``masking`` leaves nothing to see of a picture of ``size`` pixels."""
    mask = sample_masks(size, masking, 0, 0, np.zeros(1, np.int64))
    if not (mask == VISIBLE).any():
        share = f"covered {masking.covered:g} of those kept" if masking.sparse else f"ratio {masking.ratio:g}"
        raise UsageError(
            f"Cells of {masking.cell} pixels, {share}: of pictures of {size[0]}x{size[1]} pixels all {mask.numel()} cells are hidden, and "
            "nothing is left to see. Mend: smaller cells (--mask-cell) or a smaller share of them"
        )


class PretrainingTask:
    """SimMIM: the mean absolute difference between hidden pixels and what the network paints there."""

    name = "pretraining"
    classes: tuple[str, ...] = ()
    multi_label = False

    def __init__(self, masking: Masking, seed: int) -> None:
        self.masking, self.seed = masking, seed

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        return "loss", "min"

    def mix(self, batch: Any) -> Hidden:
        """The batch with its masks, which follow from seed, epoch and the pictures' indices."""
        size = batch.images.shape[2], batch.images.shape[3]
        mask = sample_masks(size, self.masking, self.seed, batch.epoch, batch.indices.numpy())
        return Hidden(batch.images, mask.to(batch.images.device), batch.indices)

    def loss(self, model: nn.Module, batch: Hidden) -> Tensor:
        return reconstruction_loss(batch.images, model(batch.images, batch.mask), batch.mask, self.masking)

    def meter(self) -> PretrainingMeter:
        return PretrainingMeter(self)


class PretrainingMeter:
    """The loss on pictures kept aside, each of which has the same cells hidden in every evaluation."""

    def __init__(self, task: PretrainingTask) -> None:
        self.task, self.total, self.pictures = task, 0.0, 0

    def update(self, model: nn.Module, batch: Any) -> None:
        self.total += float(self.task.loss(model, self.task.mix(batch))) * len(batch)
        self.pictures += len(batch)

    def compute(self) -> dict[str, float]:
        return {"loss": self.total / max(1, self.pictures)}

    def calibration(self) -> dict[str, float]:
        return {}


@dataclass(frozen=True)
class Reconstruction:
    """One picture, four times, each (H, W, C) float in 0..1: as it is, as the network saw it, as it painted it, and the error.

    In ``painted`` what was visible stands as it was; ``error`` (H, W, 1) is the mean absolute difference over channels of hidden
    pixels, ``hidden`` (H, W) says which those are.
    """

    original: np.ndarray
    masked: np.ndarray
    painted: np.ndarray
    error: np.ndarray
    hidden: np.ndarray
    source: str = ""

    @property
    def loss(self) -> float:
        """Mean absolute difference on the hidden pixels, in grey values of 0..1."""
        return float(self.error[self.hidden].mean()) if self.hidden.any() else 0.0

    @property
    def blind_loss(self) -> float:
        """The same for a painter who learned nothing and fills every hidden pixel with the mean of the visible ones, by channel."""
        if not self.hidden.any() or self.hidden.all():
            return 0.0
        return float(np.abs(self.original[self.hidden] - self.original[~self.hidden].mean(axis=0)).mean())


@torch.inference_mode()
def reconstruct(
    model: Any, images: Tensor, mask: Tensor, preprocessing: Any, sources: Sequence[str] = ()
) -> list[Reconstruction]:
    """What ``model`` paints into prepared ``images`` (B, C, H, W) where ``mask`` (B, R, S) hides cells, in the pictures' own values.

    With normalised targets the network paints only contrast, so its answer is given the surroundings' mean and deviation, which
    the original lends.
    """
    painted = model(images, mask).float()
    if model.masking.normalise:
        mean, deviation = neighbourhood(images, model.masking.normalise)
        painted = painted * deviation + mean
    hidden = (grow(mask, model.masking.cell, (images.shape[2], images.shape[3])) != VISIBLE)[:, None]
    original, answer = visible(images, preprocessing), visible(painted, preprocessing)
    masked = torch.where(hidden, 0.5, original)
    error = ((answer - original).abs() * hidden).mean(dim=1, keepdim=True)
    merged = torch.where(hidden, answer, original)
    planes = [x.permute(0, 2, 3, 1).cpu().numpy() for x in (original, masked, merged, error)]
    names = list(sources) or [""] * len(images)
    return [Reconstruction(*parts) for parts in zip(*planes, hidden[:, 0].cpu().numpy(), names, strict=True)]


def sheet(rows: Sequence[Reconstruction]) -> np.ndarray:
    """A picture (height, width, 3) uint8 of ``rows``: original, masked, painted, error side by side, enlarged to :data:`SHOWN_SIDE`.

    Channels are shown as by :func:`~swinkit.data.rgb.as_rgb`; the error is as bright as it is large.
    """
    factor = -(-SHOWN_SIDE // min(rows[0].original.shape[:2]))
    parts = [part for row in rows for part in (row.original, row.masked, row.painted, row.error)]
    return tiled([as_rgb(part).repeat(factor, 0).repeat(factor, 1) for part in parts], across=4)
