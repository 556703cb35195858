"""Thousands of photographs of one to three megapixels, made deterministically from the two that come with scikit-learn, and a classifier of them.

Each picture is a random piece of one of eight quarters (four of each photograph), enlarged, lit differently and with a camera's noise, as JPEG of
quality 90. Its quarter is its class, which a Swin learns within minutes.
"""

from __future__ import annotations

import functools
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_sample_images

from swinkit.data.transforms import evaluation
from swinkit.model.classifier import SwinClassifier
from swinkit.preprocessing import Preprocessing
from swinkit.tasks import described, save
from swinkit.variants import configure

CLASSES = tuple(
    f"{name} {place}" for name in ("pagoda", "flower") for place in ("top left", "top right", "bottom left", "bottom right")
)
MEGAPIXELS = (1.0, 3.0)
ROOM = 128  # a shortest side below which a piece has too little in it


@functools.cache
def quarters() -> list[Image.Image]:
    answer = []
    for photograph in load_sample_images().images:
        rows, columns = photograph.shape[0] // 2, photograph.shape[1] // 2
        answer += [
            Image.fromarray(photograph[top : top + rows, left : left + columns]) for top in (0, rows) for left in (0, columns)
        ]
    return answer


def piece(index: int) -> Image.Image:
    """A random piece of the quarter ``index`` % 8, lit differently; the same for the same index."""
    chance = np.random.default_rng(index)
    quarter = quarters()[index % len(CLASSES)]
    wide, high = (max(ROOM, int(side * chance.uniform(0.7, 1.0))) for side in quarter.size)
    left, top = (int(chance.integers(0, whole - part + 1)) for whole, part in zip(quarter.size, (wide, high), strict=True))
    cut = quarter.crop((left, top, left + wide, top + high))
    return Image.fromarray((np.asarray(cut) * chance.uniform(0.75, 1.0)).astype(np.uint8))


def jpeg(index: int, megapixels: tuple[float, float] = MEGAPIXELS) -> bytes:
    """The picture ``index``, enlarged and noisy."""
    chance = np.random.default_rng((index, 1))
    cut = piece(index)
    scale = (chance.uniform(*megapixels) * 1e6 / (cut.width * cut.height)) ** 0.5
    large = np.asarray(cut.resize((round(cut.width * scale), round(cut.height * scale)), Image.Resampling.BICUBIC))
    grain = np.resize(chance.normal(0, 4, 65_537).astype(np.float32), large.shape)
    noisy = (large + grain).clip(0, 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(noisy).save(file, "JPEG", quality=90)
    return file.getvalue()


def write_pictures(folder: Path, count: int, megapixels: tuple[float, float] = MEGAPIXELS) -> None:
    """``count`` pictures in class folders below ``folder``; those that are there already stay."""
    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(2) as pool:
        missing = [index for index in range(count) if not place(folder, index).exists()]
        for index, content in zip(
            missing, pool.map(functools.partial(jpeg, megapixels=megapixels), missing, chunksize=8), strict=True
        ):
            place(folder, index).write_bytes(content)


def place(folder: Path, index: int) -> Path:
    return folder / CLASSES[index % len(CLASSES)] / f"{index:05}.jpg"


def train(folder: Path, model: str, steps: int, side: int) -> float:
    """Train variant ``model`` on pieces that no picture shows, save it in ``folder``; returns its top-1 on the last hundred batches' worth.

    Sixteen pieces a step, AdamW, a warm-up and half a cosine, in bfloat16 where the processor has it.
    """
    torch.manual_seed(0)
    preprocessing = Preprocessing(size=(side, side), crop_ratio=0.875)
    net = SwinClassifier(configure(model, num_classes=len(CLASSES), image_size=side)).train()
    prepare = evaluation(preprocessing)
    optimiser = torch.optim.AdamW(net.parameters(), lr=5e-4, weight_decay=0.05, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-4, total_steps=steps)
    right: list[float] = []
    for step in range(steps):
        indices = [1_000_000 + 16 * step + offset for offset in range(16)]
        images = torch.stack([prepare(np.asarray(piece(index))) for index in indices])
        labels = torch.tensor([index % len(CLASSES) for index in indices])
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(images).float()
        F.cross_entropy(logits, labels).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
        right.append(float((logits.argmax(1) == labels).float().mean()))
    save(described(net.eval(), CLASSES, preprocessing), folder)
    return float(np.mean(right[-max(1, steps // 10) :]))
