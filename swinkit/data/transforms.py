"""From a decoded picture to the model's input: for evaluation exactly as described, for training with augmentation.

Letters: B pictures, C channels, H, W sides. Arrays come as (H, W, C), tensors leave as (C, H, W) float32, normalised. A batch
of equal-sized pictures goes through whole; the result for a picture is the same bits as when it goes alone.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import DataError, UsageError
from ..preprocessing import Preprocessing
from .arrays import MAX_PIXELS, Undecodable, converted
from .augment import Augmentation
from .randomness import AUGMENTATION, keys, uniforms

SIDES = (3 / 4, 4 / 3)  # of a random crop, width to height
ERASED, ERASED_SIDES = (0.02, 1 / 3), (0.3, 1 / 0.3)


def evaluation(preprocessing: Preprocessing) -> EvaluationTransform:
    """(H, W, C) -> (C, H, W), without chance."""
    return EvaluationTransform(preprocessing)


def training(preprocessing: Preprocessing, augmentation: Augmentation) -> TrainingTransform:
    """(H, W, C), key -> (C, H, W); all chance comes from the key, see :func:`sample_keys`."""
    return TrainingTransform(preprocessing, augmentation)


def sample_keys(seed: int, epoch: int, indices: np.ndarray) -> np.ndarray:
    """What decides the augmentation of the samples ``indices`` in ``epoch``: (N,) uint64."""
    return keys(seed, epoch, indices, AUGMENTATION)


class EvaluationTransform:
    """What is the same in every epoch, :meth:`fixed`, and worth keeping; then what is left to do, :meth:`finished`.

    ``keys`` (B,) uint64, by :func:`sample_keys`, decide what is left to chance, which here is nothing.
    ``least`` is the shorter side in pixels with which a picture is large enough to be read for it; None for all it has.
    """

    least: int | None = None

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing
        self._mean = torch.tensor(preprocessing.mean).view(-1, 1, 1)
        self._std = torch.tensor(preprocessing.std).view(-1, 1, 1)

    def __call__(self, picture: np.ndarray, key: int | None = None) -> Tensor:
        return self.batch(picture[None], None if key is None else np.array([key], np.uint64))[0]

    def batch(self, pictures: np.ndarray, keys: np.ndarray | None = None) -> Tensor:
        """(B, H, W, C) -> (B, C, H, W)"""
        return self.finished(self.fixed(pictures), keys)

    def fixed(self, pictures: np.ndarray) -> Tensor:
        """(B, H, W, C) -> (B, C, H, W), values and their type as stored."""
        return self._fit(self._planes(pictures))

    def finished(self, images: Tensor, keys: np.ndarray | None = None) -> Tensor:
        """(B, C, H, W) of :meth:`fixed`, which stay as they are -> (B, C, H, W)"""
        return self._normalise(images)

    def _planes(self, pictures: np.ndarray) -> Tensor:
        matched = match_channels(pictures, self.preprocessing.channels)
        return torch.from_numpy(matched.transpose(0, 3, 1, 2).copy())  # Pillow's arrays are read-only, which torch warns of

    def _fit(self, images: Tensor) -> Tensor:
        """Resize and centre crop as ``preprocessing`` says."""
        height, width = images.shape[-2:]
        target = self.preprocessing.resized(height, width)
        if target[0] * target[1] > MAX_PIXELS:  # a strip of one pixel's width is small until its short side is scaled up
            raise Undecodable(
                f"{width:,} x {height:,} pixels would be scaled to {target[1]:,} x {target[0]:,}; cut it into tiles"
            )
        images = resize(images, target, self.preprocessing.interpolation)
        top, left, rows, columns = self.preprocessing.cropped(height, width)
        return images[..., top : top + rows, left : left + columns]

    def _normalise(self, images: Tensor) -> Tensor:
        scaled = images.float().div_(255) if images.dtype == torch.uint8 else images.clone()
        return scaled.sub_(self._mean).div_(self._std).contiguous()


class TrainingTransform(EvaluationTransform):
    """The same with augmentation, all of whose chance comes from the keys."""

    def __init__(self, preprocessing: Preprocessing, augmentation: Augmentation) -> None:
        super().__init__(preprocessing)
        if augmentation.photometric and preprocessing.channels not in (1, 3):
            raise UsageError(
                f"randaugment and color_jitter are defined for 1 or 3 channels; these pictures have {preprocessing.channels}. "
                "Set both to 0"
            )
        self.augmentation = augmentation
        self._photometric = _photometric(augmentation)
        if augmentation.crop_scale is not None and preprocessing.resize != "none":
            self.least = sufficient(max(preprocessing.size), augmentation.crop_scale[0])

    def fixed(self, pictures: np.ndarray) -> Tensor:
        """(B, H, W, C) -> (B, C, H, W): whole pictures where a random crop is cut from them, else as for evaluation."""
        return super().fixed(pictures) if self.augmentation.crop_scale is None else self._planes(pictures)

    def finished(self, images: Tensor, keys: np.ndarray | None = None) -> Tensor:
        """(B, C, H, W) of :meth:`fixed` -> (B, C, H, W)"""
        assert keys is not None  # without them there is nothing to augment by
        chance = uniforms(keys, 14)
        images = self._place(images, chance[:, :6])
        if self._photometric is not None:
            images = torch.stack([self._recolour(image, key) for image, key in zip(images, keys, strict=True)])
        images = self._normalise(images)
        if self.augmentation.erasing:
            for image, row in zip(images, chance[:, 6:], strict=True):
                _erase(image, row, self.augmentation.erasing)
        return images

    def _place(self, images: Tensor, chance: np.ndarray) -> Tensor:
        """Random crop or shift, and the mirror; ``chance`` is (B, 6)."""
        augmentation = self.augmentation
        shift = augmentation.shift
        if augmentation.crop_scale is not None:
            shift = 0  # a crop has been moved already
            size, interpolation = self._crop_size(images), self.preprocessing.interpolation
            sides, aspect = (images.shape[-2], images.shape[-1]), size[1] / size[0]
            boxes = [crop_box(sides, augmentation.crop_scale, row, aspect) for row in chance]
            cut = [images[b, :, t : t + h, left : left + w] for b, (t, left, h, w) in enumerate(boxes)]
            images = torch.cat([resize(box[None], size, interpolation) for box in cut])
        if not (shift or augmentation.flip):
            return images
        height, width = images.shape[-2:]
        rows, columns = np.arange(height)[None], np.arange(width)[None]
        if shift:
            moves = (chance[:, :2] * (2 * shift + 1)).astype(np.int64) - shift
            rows, columns = (rows + moves[:, :1]).clip(0, height - 1), (columns + moves[:, 1:]).clip(0, width - 1)
        if augmentation.flip:
            columns = np.where(chance[:, 5:] < 0.5, columns[:, ::-1], columns)
        return _gather(images, torch.from_numpy(rows), torch.from_numpy(columns.copy()))

    def _crop_size(self, images: Tensor) -> tuple[int, int]:
        height, width = images.shape[-2:]
        return (height, width) if self.preprocessing.resize == "none" else self.preprocessing.size

    def _recolour(self, image: Tensor, key: np.uint64) -> Tensor:
        # torchvision draws from the global generator, so it gets one of this sample's own and the global one is put back;
        # torch.manual_seed would also queue a call for each idle accelerator, a millisecond and a leak per picture
        before = torch.default_generator.get_state()
        try:
            torch.default_generator.manual_seed(int(key) % 2**63)
            return self._photometric(image)  # type: ignore[misc]
        finally:
            torch.default_generator.set_state(before)


def visible(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Normalised ``images`` (..., C, H, W) as values within 0..1 again."""
    mean, std = (
        torch.tensor(values, device=images.device).view(-1, 1, 1) for values in (preprocessing.mean, preprocessing.std)
    )
    return (images.float() * std + mean).clamp(0, 1)


def takes(channels: int, have: int) -> bool:
    """Whether :func:`match_channels` can make pictures of ``have`` channels such of ``channels``."""
    return have in (channels, 1) or (have, channels) == (3, 1)


def match_channels(pictures: np.ndarray, channels: int) -> np.ndarray:
    """(..., have) -> (..., ``channels``): gray is repeated, since any model may be fed it, RGB becomes luma. Raises :class:`DataError` for
    anything else."""
    if (found := converted(pictures, channels, spread=True)) is not None:
        return found
    have = pictures.shape[-1]
    raise DataError(
        f"The picture has {have} channels and the model expects {channels}. Mend: create the model with in_channels={have}"
    )


def resize(images: Tensor, size: tuple[int, int], interpolation: str) -> Tensor:
    """(B, C, H, W) to ``size`` (height, width), antialiased, in the type it came in."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    if interpolation == "nearest":
        return F.interpolate(images, size, mode="nearest-exact")
    scaled = F.interpolate(images, size, mode=interpolation, antialias=True, align_corners=False)
    return scaled if images.dtype == torch.uint8 else scaled.clamp_(0, 1)  # bicubic overshoots


def sufficient(side: int, scale: float) -> int:
    """Shorter side of pictures whose every crop of at least ``scale`` of the area has twice ``side`` pixels along both axes.

    Twice, so that it is the resize that decides how the crop looks, and not how the picture was read.
    """
    return math.ceil((2 * side + 1) / min(math.sqrt(scale * SIDES[0]), SIDES[0]))


def crop_box(
    sides: tuple[int, int], scale: tuple[float, float], chance: np.ndarray, aspect: float = 1.0
) -> tuple[int, int, int, int]:
    """(top, left, height, width) inside ``sides`` (height, width) of a share of the area within ``scale``; ``chance`` are >= 4 uniforms.

    Width to height is ``aspect``, that of what the crop is scaled to, times a factor within :data:`SIDES`. Where no such crop is so
    large it is as large as can be.
    """
    height, width = sides
    area = height * width * (scale[0] + (scale[1] - scale[0]) * chance[0])
    ratio = aspect * math.exp(math.log(SIDES[0]) + (math.log(SIDES[1]) - math.log(SIDES[0])) * chance[1])
    area = min(area, height**2 * ratio, width**2 / ratio)
    rows, columns = min(height, max(1, round(math.sqrt(area / ratio)))), min(width, max(1, round(math.sqrt(area * ratio))))
    return int(chance[2] * (height - rows + 1)), int(chance[3] * (width - columns + 1)), rows, columns


def _gather(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Picks rows (B or 1, H) and columns (B or 1, W) of each of ``images`` (B, C, H, W)."""
    batch, channels, height, width = images.shape
    if len(rows) == batch:  # else each keeps all of its rows, in their order
        images = images.gather(2, rows.view(-1, 1, height, 1).expand(batch, channels, height, width))
    return images.gather(3, columns.view(-1, 1, 1, width).expand(batch, channels, height, width))


def _erase(image: Tensor, chance: np.ndarray, probability: float) -> None:
    """Sets a box of the normalised ``image`` (C, H, W) to 0, which is the mean, with ``probability``; ``chance`` are 8 uniforms."""
    if chance[0] >= probability:
        return
    height, width = image.shape[-2:]
    area = height * width * (ERASED[0] + (ERASED[1] - ERASED[0]) * chance[1])
    ratio = math.exp(math.log(ERASED_SIDES[0]) + (math.log(ERASED_SIDES[1]) - math.log(ERASED_SIDES[0])) * chance[2])
    rows, columns = min(height, round(math.sqrt(area / ratio))), min(width, round(math.sqrt(area * ratio)))
    top, left = int(chance[3] * (height - rows + 1)), int(chance[4] * (width - columns + 1))
    image[:, top : top + rows, left : left + columns] = 0


def _photometric(augmentation: Augmentation) -> nn.Module | None:
    if not augmentation.photometric:
        return None
    from torchvision.transforms import v2  # seconds to import, and only training asks for it

    steps: list[nn.Module] = []
    if augmentation.color_jitter:
        steps.append(v2.ColorJitter(*[augmentation.color_jitter] * 3))
    if augmentation.randaugment:
        steps.append(v2.RandAugment(magnitude=augmentation.randaugment, interpolation=v2.InterpolationMode.BILINEAR))
    return v2.Compose(steps)
