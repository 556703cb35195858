"""Whole prediction, files to labels, as subjects: one step classifies one of several parts of a folder and notes each file's label."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from swinkit.study.process import Subject

WORKERS = 2


def parts_of(folder: str, parts: int) -> list[list[str]]:
    files = sorted(map(str, Path(folder).rglob("*.jpg")))
    return [files[part::parts] for part in range(parts)]


def noting(classify: Callable[[list[str]], list[str]], folder: str, parts: int, notes: str, **about: Any) -> Subject:
    """``classify`` (files to labels) on part after part; what it said of each file is at ``notes``."""
    divided, said = parts_of(folder, parts), dict[str, str]()

    def step(index: int) -> None:
        files = divided[index % parts]
        said.update(zip(files, classify(files), strict=True))
        Path(notes).write_text(json.dumps(said), encoding="utf-8")

    return Subject(step, about)


def swinkit(model: str, precision: str, **rest: Any) -> Subject:
    """As `swinkit predict --precision` does it: decoders in processes of their own, batches, the default engine."""
    from swinkit.runtime.inputs import Input
    from swinkit.runtime.isolation import Decoders
    from swinkit.runtime.predictor import Predictor

    predictor = Predictor(model, precision=precision)
    decode = Decoders(30).__enter__()  # lives as long as this process

    def classify(files: list[str]) -> list[str]:
        return [answer.label for answer in predictor.stream((Input(file) for file in files), False, decode, WORKERS)]  # type: ignore[union-attr]

    return noting(classify, precision=precision, **rest)


def transformers(model: str, **rest: Any) -> Subject:
    """The image-classification pipeline, in batches, with as many workers."""
    from transformers import pipeline

    pipe = pipeline("image-classification", model=model, device="cpu")

    def classify(files: list[str]) -> list[str]:
        return [best[0]["label"] for best in pipe(files, top_k=1, batch_size=16, num_workers=WORKERS)]

    return noting(classify, **rest)


def timm(model: str, **rest: Any) -> Subject:
    """The loop of timm's inference script: its dataset, its loader with as many workers, softmax, top-k."""
    import timm as library
    from timm.data import ImageDataset, create_loader, resolve_model_data_config

    net = library.create_model(f"local-dir:{model}", pretrained=True).eval()
    settings = resolve_model_data_config(net)
    names = json.loads((Path(model) / "config.json").read_text("utf-8")).get("label_names")

    @torch.inference_mode()
    def classify(files: list[str]) -> list[str]:
        dataset = ImageDataset(None, reader=[(file, 0) for file in files])
        loader = create_loader(
            dataset, batch_size=32, use_prefetcher=False, num_workers=WORKERS, device=torch.device("cpu"), input_size=settings["input_size"],
            interpolation=settings["interpolation"], mean=settings["mean"], std=settings["std"], crop_pct=settings["crop_pct"],
            crop_mode=settings["crop_mode"],
        )  # fmt: skip
        answers: list[str] = []
        for images, _ in loader:
            top = net(images).softmax(-1).topk(1)
            answers += [names[index] for index in top.indices[:, 0].tolist()]
        return answers

    return noting(classify, **rest)
