"""swinkit inspect: what the file knows is named, what it does not know is not invented."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from swinkit.cli.inspect import command
from swinkit.config import SwinConfig
from swinkit.model.classifier import SwinClassifier
from swinkit.variants import configure
from swinkit.weights.convert import export
from swinkit.weights.files import BUNDLED
from swinkit.weights.formats import DIALECTS
from swinkit.weights.inspection import inspect_weights

CLASSIFIERS = ("microsoft", "timm", "transformers", "torchvision", "openmmlab", "simmim")
RECORDED = {"microsoft", "torchvision", "openmmlab", "simmim"}  # save buffers that show the window of version 2


def write(path: Path, config: SwinConfig, dialect: str) -> Path:
    state = {name: torch.zeros(tensor.shape) for name, tensor in SwinClassifier(config).state_dict().items()}
    torch.save(export(state, config, DIALECTS[dialect]), path)
    return path


@pytest.mark.parametrize("name", ["swin_t", "swinv2_t"])
@pytest.mark.parametrize("dialect", CLASSIFIERS)
def test_generated_checkpoints(tmp_path: Path, name: str, dialect: str) -> None:
    config = configure(name, num_classes=3)
    if config.version not in DIALECTS[dialect].rows:
        pytest.skip("SimMIM's rpe_mlp is of version 2")
    found = inspect_weights(write(tmp_path / "w.pth", config, dialect))
    assert (found["format"], found["version"], found["classes"]) == (DIALECTS[dialect].title, config.version, 3)
    assert swin_variant(name) in found["variants"]
    known = config.version == 1 or dialect in RECORDED
    assert found["windows"] == ([list(config.stage_window(stage)) for stage in range(4)] if known else None)
    assert (len(found["variants"]) == 1) == known
    assert bool(found["problems"]) != known


def swin_variant(alias: str) -> str:
    return {"swin_t": "swin_tiny_patch4_window7_224", "swinv2_t": "swinv2_tiny_patch4_window8_256"}[alias]


def test_the_verb_says_not_recorded(tmp_path: Path) -> None:
    path = write(tmp_path / "w.pth", configure("swinv2_t", num_classes=3), "timm")
    answer = CliRunner().invoke(command, [str(path)])
    assert answer.exit_code == 0
    assert "windows  not recorded" in answer.output


def test_a_model_of_our_own(tmp_path: Path) -> None:
    found = inspect_weights(BUNDLED / "swin_nano.fashion_mnist")
    assert found["format"] == "swinkit"
    assert found["variants"] == ["swin_nano"]
    assert found["windows"] == [[7, 7], [7, 7], [4, 4]]
    assert found["class_names"][-1] == "Ankle boot"
    assert found["problems"] == []
