"""What the crash campaign runs in processes of its own: a small real training, and a saboteur that kills it inside a save."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from pathlib import Path

import numpy as np
from PIL import Image

import swinkit.weights.atomic as atomic
from swinkit.train import fit, resume

SETTINGS = {
    "image_size": 16, "epochs": 6, "batch_size": 8, "seed": 3, "threads": 1, "workers": 0, "precision": "32-true", "val": 0.2,
    "tensorboard": False, "save_every": 1e-3, "keep": "best", "mixup": 0.2, "drop_path": 0.1, "ema": 0.9,
    "swin": {"embed_dim": 8, "depths": (2, 2), "num_heads": (1, 2), "window_size": 4, "patch_size": 2},
}  # fmt: skip


def make_pictures(folder: Path, count: int = 60) -> Path:
    """Three classes of 16x16 pictures that take some learning."""
    random_numbers = np.random.default_rng(0)
    for index in range(count):
        name = ("rows", "columns", "noise")[index % 3]
        pixels = random_numbers.integers(0, 256, (16, 16, 3), np.uint8)
        if name != "noise":
            pixels[:: 1 + index % 4 + 1] //= 4
        if name == "columns":
            pixels = pixels.swapaxes(0, 1)
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / name / f"{index}.png")
    return folder


class Saboteur:
    """Kills this process at the call number ``fatal`` that changes the disk while saving, before, within or after it."""

    def __init__(self, run: Path, fatal: int, seed: int) -> None:
        self.run, self.left, self.random = run, fatal, random.Random(seed)
        for owner, name in ((atomic, "_write_synced"), (os, "replace"), (atomic, "sync_folder"), (os, "unlink")):
            setattr(owner, name, self.fatal(getattr(owner, name), partly=name == "_write_synced"))

    def fatal(self, honest, partly):
        def call(*arguments, **keywords):
            if any((self.run / "checkpoints").glob("step_*.json")):  # what comes before is no run yet
                self.left -= 1
            if self.left == 0:
                if partly:
                    path, content = arguments
                    path.write_bytes(content[: self.random.randrange(len(content) + 1)])
                elif self.random.random() < 0.5:
                    honest(*arguments, **keywords)
                os.kill(os.getpid(), signal.SIGKILL)
            return honest(*arguments, **keywords)

        return call


def train(data: Path, run: Path, fatal: int, seed: int, workers: int = 0) -> None:
    """Begin ``run``, or go on with it; ``fatal`` 0 lets it live."""
    multiprocessing.set_start_method("fork", force=True)  # or loader workers would ask a fork server nested in this one
    if fatal:
        Saboteur(run, fatal, seed)
    if run.exists():
        resume(run, {"workers": workers})
    else:
        fit(data, "swin_nano", run, **SETTINGS)
