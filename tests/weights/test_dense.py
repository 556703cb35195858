"""Detectors' and segmenters' checkpoints, end to end: looked at, read as dense, converted, their position embedding resized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import swinkit
from swinkit.config import SwinConfig
from swinkit.model.classifier import SwinClassifier
from swinkit.tasks import open_saved
from swinkit.weights.certificate import answers, network
from swinkit.weights.formats import DIALECTS
from swinkit.weights.inspection import inspect_weights
from swinkit.weights.translation import export

from ..shaking import shake
from .converting import convert

FIELDS = {
    "embed_dim": 16, "depths": (1, 2), "num_heads": (1, 2), "num_classes": 0, "image_size": 32, "window_size": 8, "geometry": "dense",
}  # fmt: skip
# whose file, with which dialect's names, and what surrounds its backbone
FILES = {
    "the paper's detector": ("microsoft-dense", "state_dict", ("neck.fpn_convs.0.conv.weight", "rpn_head.rpn_cls.weight", "roi_head.bbox_head.fc_cls.bias")),
    "mmsegmentation": ("openmmlab", "state_dict", ("decode_head.conv_seg.weight", "auxiliary_head.conv_seg.bias")),
    "mmdetection": ("openmmlab", "state_dict", ("neck.lateral_convs.0.conv.weight", "bbox_head.atss_cls.weight", "data_preprocessor.mean")),
}  # fmt: skip


def made(tmp_path: Path, kind: str, **fields: Any) -> tuple[Path, SwinClassifier]:
    """A checkpoint as ``kind`` saves it, and the backbone in it."""
    dialect, key, around = FILES[kind]
    config = SwinConfig.model_validate({**FIELDS, **fields})
    model = shake(SwinClassifier(config))
    state = {**model.state_dict(), "output_norms.0.weight": torch.linspace(0.5, 1.5, 16), "output_norms.0.bias": torch.ones(16)}
    named = export(state, config, DIALECTS[dialect], "backbone.")
    torch.save({"meta": {"epoch": 12}, key: named | dict.fromkeys(around, torch.ones(3))}, tmp_path / "checkpoint.pth")
    return tmp_path / "checkpoint.pth", model


@pytest.mark.parametrize("kind", FILES)
def test_a_dense_checkpoint_is_read_as_it_was_trained(tmp_path: Path, kind: str) -> None:
    """32 pixels give the second stage a map of 4x4, on which a classifier would shrink the window of 8 and not shift it."""
    path, model = made(tmp_path, kind)
    found = inspect_weights(path)
    assert (found["geometry"], found["windows"]) == ("dense", [[8, 8], [8, 8]])
    loaded = swinkit.load(path, image_size=32)
    assert loaded.config == model.config
    images = torch.randn(1, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for ours, theirs in zip(loaded.features(images), model.features(images), strict=True):
            torch.testing.assert_close(ours, theirs)
    done = convert(path, tmp_path / "again.pth", "microsoft-dense", image_size=(32, 32))
    assert done.certificate["configuration"]["geometry"] == "dense"
    assert any("around the backbone are left out" in note for note in done.certificate["notes"])
    assert {one.where for one in done.parity.differences} == {"stage 1", "stage 2", "embedding", "output 1", "output 2"}
    assert open_saved(done.out).config == model.config


@pytest.mark.parametrize("kind", FILES)
def test_its_absolute_positions_come_along_resized(tmp_path: Path, kind: str) -> None:
    path, model = made(tmp_path, kind, ape=True)
    found = inspect_weights(path)
    assert (found["geometry"], found["image_size"]) == ("dense", [32, 32])
    done = convert(path, tmp_path / "own", "swinkit", image_size=(64, 48), backbone=True)
    assert done.parity.same
    loaded = swinkit.load(tmp_path / "own")
    images = torch.randn(1, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    assert (loaded.config.ape, loaded.config.geometry) == (True, "dense")
    position: Tensor = loaded.state_dict()["backbone.patch_embed.position"]
    assert position.shape == (1, 16, 12, 16)
    with torch.inference_mode():  # the model that was saved resizes its embedding itself, as pictures come in
        for ours, theirs in zip(loaded.features(images), model.features(images), strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.peers
def test_upernet_of_transformers(tmp_path: Path) -> None:
    """A segmenter as transformers saves it; its backbone's maps are those of the library."""
    transformers = pytest.importorskip("transformers")
    inner = transformers.SwinConfig(
        embed_dim=16, depths=[1, 2], num_heads=[1, 2], window_size=8, image_size=32, out_features=["stage1", "stage2"]
    )
    config = transformers.UperNetConfig(
        backbone_config=inner, hidden_size=8, pool_scales=[1], auxiliary_channels=8, num_labels=3
    )
    config.auxiliary_in_channels = 32
    segmenter = transformers.UperNetForSemanticSegmentation(config)
    theirs = shake(segmenter.backbone)
    segmenter.save_pretrained(tmp_path / "upernet")
    assert inspect_weights(tmp_path / "upernet" / "model.safetensors")["geometry"] == "dense"
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for path in (tmp_path / "upernet", tmp_path / "upernet" / "model.safetensors"):
        saved = open_saved(path, image_size=32)
        assert saved.config.geometry == "dense"
        assert not any(name.startswith(("decode_head", "auxiliary_head")) for name in saved.state)
        with torch.inference_mode():
            found = answers(network(saved), saved, images)
            for number, expected in enumerate(theirs(images).feature_maps, 1):
                torch.testing.assert_close(found[f"output {number}"].permute(0, 3, 1, 2), expected, atol=1e-5, rtol=1e-5)
