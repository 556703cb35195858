"""What the crash campaign runs in processes of its own: a small real training, and a saboteur that kills it inside a save."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image

import swinkit.weights.atomic as atomic
from swinkit.config import SwinConfig
from swinkit.model.classifier import SwinClassifier
from swinkit.train import fit, pretrain, resume
from swinkit.train.checkpoint import CheckpointStore
from swinkit.weights.files import save_model

SETTINGS = {
    "image_size": 16, "epochs": 18, "batch_size": 8, "seed": 3, "threads": 1, "workers": 0, "precision": "32-true", "val": 0.2,
    "tensorboard": False, "save_every": 1e-3, "keep": "best", "mixup": 0.2, "drop_path": 0.1, "ema": 0.9,
    "swin": {"embed_dim": 8, "depths": (2, 2), "num_heads": (1, 2), "window_size": 4, "patch_size": 2},
}  # fmt: skip
PRETRAINING = {
    **{name: SETTINGS[name] for name in ("image_size", "batch_size", "seed", "threads", "workers", "precision", "val", "tensorboard",
                                         "save_every", "ema", "swin")},
    "epochs": 18, "sparse": True, "cell": 2,
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
    """Kills this process at the call number ``fatal`` that changes the disk while saving: "before", "within" or "after" it.

    With ``torn`` a rename becomes what swinkit must not rely on, a copy that can be cut short.
    """

    def __init__(self, run: Path, fatal: int, moment: str, torn: bool = False) -> None:
        self.run, self.left, self.moment = run, fatal, moment
        calls = {(atomic, "sync"): half_written, (atomic, "sync_folder"): None, (os, "unlink"): None}
        calls[os, "replace"] = half_copied if torn else None
        for (owner, name), half in calls.items():
            setattr(owner, name, self.fatal(getattr(owner, name), half))

    def fatal(self, honest, half):
        def call(*arguments, **keywords):
            if any((self.run / "checkpoints").glob("step_*.json")):  # what comes before is no run yet
                self.left -= 1
            if self.left == 0:
                if self.moment == "after":
                    honest(*arguments, **keywords)
                elif self.moment == "within" and half:
                    half(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            return honest(*arguments, **keywords)

        return call


def half_written(file: BinaryIO) -> None:
    file.truncate(file.tell() // 2)


def half_copied(source: Path, target: Path) -> None:
    half_written(target, source.read_bytes())


def save(run: Path, step: int, fatal: int = 0, moment: str = "before", torn: bool = False) -> None:
    """One checkpoint and one model, each value of which is ``step``; ``fatal`` 0 lets the process live."""
    if fatal:
        Saboteur(run, fatal, moment, torn)
    model = SwinClassifier(SwinConfig.model_validate({**SETTINGS["swin"], "image_size": 16, "num_classes": 2}))
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, step)
    CheckpointStore(run / "checkpoints").save({"weights": model.state_dict()}, step)
    save_model(model, run / "model", extra={"step": step})


def pretrained(data: Path, run: Path, fatal: int, moment: str) -> None:
    """The same for a pre-training, sparse, so that both kinds of mask are drawn."""
    multiprocessing.set_start_method("fork", force=True)
    if fatal:
        Saboteur(run, fatal, moment)
    if run.exists():
        resume(run, {})
    else:
        pretrain(data, "swin_nano", run, **PRETRAINING)


def train(data: Path, run: Path, fatal: int, moment: str, workers: int = 0) -> None:
    """Begin ``run``, or go on with it; ``fatal`` 0 lets it live."""
    multiprocessing.set_start_method("fork", force=True)  # or loader workers would ask a fork server nested in this one
    if fatal:
        Saboteur(run, fatal, moment)
    if run.exists():
        resume(run, {"workers": workers, "cache": workers / 4})
    else:
        fit(data, "swin_nano", run, **SETTINGS)
