"""swinkit.load on files and folders of other libraries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import swinkit
from swinkit.config import SwinConfig
from swinkit.errors import UsageError, WeightsError
from swinkit.model.classifier import SwinClassifier
from swinkit.preprocessing import Preprocessing
from swinkit.weights.convert import export
from swinkit.weights.descriptions import timm, transformers
from swinkit.weights.files import serialise
from swinkit.weights.formats import DIALECTS
from swinkit.weights.reading import read_tensors

from ..shaking import shake

SMALL = {"embed_dim": 8, "depths": (1, 2), "num_heads": (1, 2), "num_classes": 3, "image_size": 32, "window_size": 4}


def folder_of(tmp_path: Path, config: SwinConfig, preprocessing: Preprocessing) -> Path:
    model = shake(SwinClassifier(config))
    (tmp_path / "model.safetensors").write_bytes(serialise(export(model.state_dict(), config, DIALECTS["transformers"])))
    (tmp_path / "config.json").write_text(json.dumps(transformers.write(config, ["cat", "dog", "owl"])))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(transformers.write_preprocessor(preprocessing)))
    return tmp_path


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("resize", ["shortest", "squash"])
def test_a_transformers_folder_keeps_classes_and_preprocessing(tmp_path: Path, version: int, resize: str) -> None:
    extra = {"pretrained_window_sizes": (3, 2)} if version == 2 else {}
    config = SwinConfig.model_validate({**SMALL, "version": version, **extra})
    preprocessing = Preprocessing.model_validate({"size": (32, 32), "resize": resize, "crop_ratio": 0.8})
    model = swinkit.load(folder_of(tmp_path, config, preprocessing))
    assert model.config == config
    assert model.classes == ("cat", "dog", "owl")
    assert model.preprocessing.resized(50, 70) == preprocessing.resized(50, 70)
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(model(images), shake(SwinClassifier(config))(images))


def test_a_folder_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, SwinConfig.model_validate(SMALL), Preprocessing(size=(32, 32)))
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**described, "window_size": 8}))
    with pytest.raises(WeightsError, match=r"windows of the stages"):
        swinkit.load(folder)


def test_classes_that_are_not_the_heads_are_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, SwinConfig.model_validate(SMALL), Preprocessing(size=(32, 32)))
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**described, "id2label": {"0": "cat", "1": "dog"}}))
    with pytest.raises(WeightsError, match=r"3 outputs, but config\.json names 2"):
        swinkit.load(folder)


def test_swin_v2_without_a_description_wants_a_variant(tmp_path: Path) -> None:
    config = swinkit.variants.configure("swinv2_t", depths=(2, 2, 6, 2))
    state = {name: torch.zeros(tensor.shape) for name, tensor in SwinClassifier(config).state_dict().items()}
    torch.save(export(state, config, DIALECTS["timm"]), tmp_path / "weights.pth")
    with pytest.raises(UsageError, match='variant="swinv2_tiny_patch4_window16_256"'):
        swinkit.load(tmp_path / "weights.pth")
    assert swinkit.load(tmp_path / "weights.pth", variant="swinv2_t").config.window_size == (8, 8)


def test_timms_description_holds_what_it_was_told() -> None:
    config = SwinConfig.model_validate({**SMALL, "version": 2, "pretrained_window_sizes": (3, 2)})
    preprocessing = Preprocessing(size=(32, 32), resize="squash")
    told = timm.read(timm.write(config, ["a", "b", "c"], preprocessing, None))
    assert told.config == config
    assert told.classes == ("a", "b", "c")
    assert told.preprocessing is not None
    assert told.preprocessing.resized(50, 70) == (32, 32)


def test_code_in_a_file_does_not_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"model": {"a": torch.ones(1)}, "config": Payload()}, tmp_path / "payload.pth")
    with pytest.raises(WeightsError, match="without running code"):
        read_tensors(tmp_path / "payload.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_old_settings_in_a_checkpoint_become_plain_values(tmp_path: Path, monkeypatch, zipped: bool) -> None:
    """yacs' CfgNode, as Microsoft saved it, from a module that is not installed here."""
    import sys
    import types

    class CfgNode(dict):  # type: ignore[type-arg]
        pass

    CfgNode.__module__, CfgNode.__qualname__ = "yacs.config", "CfgNode"
    module = types.ModuleType("yacs.config")
    module.CfgNode = CfgNode  # type: ignore[attr-defined]
    node = CfgNode(WINDOW=7)
    node.__dict__["__immutable__"] = False
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "yacs", types.ModuleType("yacs"))
        patched.setitem(sys.modules, "yacs.config", module)
        content = {"model": {"module.a": torch.ones(1)}, "config": node}
        torch.save(content, tmp_path / "old.pth", _use_new_zipfile_serialization=zipped)
    state, beside = read_tensors(tmp_path / "old.pth")
    assert list(state) == ["a"]
    assert beside["config"] == {"WINDOW": 7}
