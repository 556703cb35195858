"""Checkpoints that hold more than one network: what is read of them, what is left out, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import swinkit
from swinkit.config import SwinConfig
from swinkit.errors import WeightsError
from swinkit.model.classifier import SwinClassifier
from swinkit.weights.formats import DIALECTS
from swinkit.weights.inspection import inspect_weights
from swinkit.weights.streams import write_pth
from swinkit.weights.translation import export

from ..shaking import shake
from .converting import convert

CONFIG = SwinConfig.model_validate(
    {"embed_dim": 8, "depths": (1, 2), "num_heads": (1, 2), "num_classes": 3, "image_size": 32, "window_size": 4}
)
HEADLESS = CONFIG.model_copy(update={"num_classes": 0})
State = dict[str, Tensor]


def named(dialect: str = "timm", prefix: str | None = None, config: SwinConfig = CONFIG) -> State:
    return export(shake(SwinClassifier(config)).state_dict(), config, DIALECTS[dialect], prefix)


def below(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def strays(*names: str) -> State:
    return dict.fromkeys(names, torch.ones(3))


def written(tmp_path: Path, state: State) -> Path:
    write_pth(tmp_path / "checkpoint.pth", state)
    return tmp_path / "checkpoint.pth"


def same_as_trained(model: SwinClassifier) -> bool:
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return torch.equal(model(images), shake(SwinClassifier(CONFIG))(images))


def averaged(state: State) -> State:
    return {name: tensor + 1 for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("dialect", "names", "left"),
    [
        ("timm", ("neck.gap",), "neck"),
        ("timm", ("criterion.weight", "train_acc.confmat"), "criterion, train_acc"),
        ("transformers", ("criterion.weight",), "criterion"),
        ("openmmlab", ("criterion.weight",), "criterion"),
    ],
)
def test_a_classifier_is_one_whatever_lies_beside_it(tmp_path: Path, dialect: str, names: tuple[str, ...], left: str) -> None:
    path = written(tmp_path, below("model.", named(dialect)) | strays(*names))
    model = swinkit.load(path, image_size=32)
    assert model.config == CONFIG
    assert same_as_trained(model)
    assert not any("network" in doubt for doubt in model.metadata["doubts"])
    assert any(note.endswith(f"left out: {left}") for note in model.metadata["notes"])
    assert inspect_weights(path)["geometry"] == "classification"


@pytest.mark.parametrize(
    ("read", "other"),
    [("model.", "teacher."), ("student.", "teacher."), ("model.", "ema_model."), ("", "ema."), ("encoder_q.", "encoder_k.")],
)
def test_of_two_networks_the_plain_one_is_read_and_the_other_named(tmp_path: Path, read: str, other: str) -> None:
    path = written(tmp_path, below(other, averaged(named())) | below(read, named()))
    model = swinkit.load(path, image_size=32)
    assert model.config == CONFIG
    assert same_as_trained(model)
    (doubt,) = model.metadata["doubts"]
    assert doubt.startswith("2 networks are in it")
    assert f"name.startswith('{other}')" in doubt
    assert other in " ".join(inspect_weights(path)["problems"])


def test_a_teacher_alone_is_read(tmp_path: Path) -> None:
    assert same_as_trained(swinkit.load(written(tmp_path, below("teacher.", named())), image_size=32))


# whose names, what the checkpoint puts before them, and what lies around and beside the backbone
LARGER = {
    "Detectron2": ("microsoft", "backbone.bottom_up.", ("backbone.fpn_output2.bias", "roi_heads.a", "proposal_generator.b")),
    "DETR": ("microsoft", "backbone.0.body.", ("transformer.a", "class_embed.weight")),
    "MMDetection 2": ("openmmlab", "backbone.", ("neck.a", "ema_backbone_norm1_weight")),
    "Swin-UNet": ("microsoft", "swin_unet.", ("swin_unet.layers_up.0.a", "swin_unet.output.weight")),
}


@pytest.mark.parametrize("kind", LARGER)
def test_of_a_larger_network_the_backbone_is_taken(tmp_path: Path, kind: str) -> None:
    dialect, prefix, names = LARGER[kind]
    path = written(tmp_path, named(dialect, prefix, HEADLESS) | strays(*names))
    done = convert(path, tmp_path / "own", "swinkit", image_size=(32, 32), backbone=True)
    assert done.parity.same
    assert any("around the backbone are left out" in note for note in done.certificate["notes"])
    own, trained = swinkit.load(tmp_path / "own").state_dict(), shake(SwinClassifier(HEADLESS)).state_dict()
    assert own.keys() == trained.keys()
    assert all(torch.equal(own[name], trained[name]) for name in own)


def test_a_head_of_another_name_is_never_left_out_unsaid(tmp_path: Path) -> None:
    model = swinkit.load(written(tmp_path, named("timm", "backbone.", HEADLESS) | strays("fc.weight")), image_size=32)
    assert model.config.num_classes == 0
    assert model.metadata["doubts"] == ["no head was read, and one of another name may be among what was left out: fc"]


@pytest.mark.parametrize(
    ("stray", "alone"), [("fc.weight", True), ("layers_up.0.weight", True), ("layers.0.blocks.0.attn.lora_A", False)]
)
def test_unknown_names_inside_a_network_are_refused_with_what_mends_it(tmp_path: Path, stray: str, alone: bool) -> None:
    path = written(tmp_path, named() | strays(stray))
    with pytest.raises(WeightsError, match=rf"not expected: {stray}(.|\n)*Mend: delete these names") as refusal:
        swinkit.load(path, image_size=32)
    assert ("--backbone" in str(refusal.value)) == alone
    with pytest.raises(WeightsError) if not alone else torch.inference_mode():
        convert(path, tmp_path / "own", "swinkit", image_size=(32, 32), backbone=True)
