"""swinkit.load on files and folders of other libraries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ViTImageProcessor

import swinkit
from swinkit.config import SwinConfig
from swinkit.data.transforms import EvaluationTransform
from swinkit.errors import UsageError, WeightsError
from swinkit.model.classifier import SwinClassifier
from swinkit.preprocessing import Preprocessing
from swinkit.tasks import check_variant
from swinkit.variants import configure
from swinkit.weights.descriptions import timm, transformers
from swinkit.weights.files import serialise
from swinkit.weights.foreign import open_foreign, read_states
from swinkit.weights.formats import DIALECTS
from swinkit.weights.inspection import inspect_weights
from swinkit.weights.reading import read_tensors
from swinkit.weights.recognise import recognise
from swinkit.weights.streams import write_pth, write_safetensors
from swinkit.weights.translation import export

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


@pytest.mark.parametrize(
    ("variant", "said"), [("swin_t", r"depths \(2, 2, 18, 2\) and not \(2, 2, 6, 2\)"), ("swinv2_s", "version 1 and not 2")]
)
def test_a_variant_that_a_saved_model_is_not_is_refused(variant, said):
    with pytest.raises(UsageError, match=said):
        check_variant("runs/small", variant, configure("swin_s"))


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
    assert list(state) == ["module.a"]
    assert beside["config"] == {"WINDOW": 7}


TIMM = SwinConfig.model_validate({**SMALL, "window_size": 4})


def timm_state(config: SwinConfig = TIMM) -> dict[str, torch.Tensor]:
    return export(shake(SwinClassifier(config)).state_dict(), config, DIALECTS["timm"])


@pytest.mark.parametrize(
    "wrapper", ["module.", "_orig_mod.", "model.", "_orig_mod.module.", "model._orig_mod.", "module.model."]
)
def test_wrappers_in_any_order_are_taken_off(tmp_path: Path, wrapper: str) -> None:
    write_pth(tmp_path / "a.pth", {wrapper + name: tensor for name, tensor in timm_state().items()})
    assert read_states(tmp_path / "a.pth")[0].keys() == timm_state().keys()


def test_of_several_sets_of_weights_the_one_that_was_read_is_named(tmp_path: Path) -> None:
    state = timm_state()
    averaged = {name: tensor + 1 for name, tensor in state.items()}
    torch.save({"state_dict": state, "state_dict_ema": averaged}, tmp_path / "both.pth")
    read, notes = read_states(tmp_path / "both.pth")
    assert torch.equal(read["head.fc.bias"], state["head.fc.bias"])
    assert notes == ["both.pth holds several sets of weights: state_dict was read, and not state_dict_ema"]
    torch.save({"epoch": 3, "model_ema": averaged}, tmp_path / "alone.pth")
    read, notes = read_states(tmp_path / "alone.pth")
    assert torch.equal(read["head.fc.bias"], averaged["head.fc.bias"])
    assert not notes


def test_timms_network_within_another_is_found(tmp_path: Path) -> None:
    write_pth(tmp_path / "a.pth", {f"net.{name}": tensor for name, tensor in timm_state().items()})
    assert swinkit.load(tmp_path / "a.pth", image_size=32).config.num_classes == TIMM.num_classes


def test_what_timm_says_of_sizes_and_names_is_read_as_timm_reads_it(tmp_path: Path) -> None:
    described = timm.write(TIMM, "abc", Preprocessing(size=(32, 32)), None)
    del described["model_args"]["img_size"]
    told = timm.read({**described, "label_names": {"10": "c", "2": "b", "1": "a"}})
    assert told.config is not None
    assert told.config.image_size == (32, 32)
    assert told.classes == ("a", "b", "c")


def test_a_size_at_which_the_origin_answers_otherwise_is_noted(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", timm_state())
    described = timm.write(TIMM, "abc", Preprocessing(size=(40, 40)), None)
    described["model_args"]["img_size"] = [40, 40]
    (tmp_path / "config.json").write_text(json.dumps(described))
    (note,) = (note for note in swinkit.load(tmp_path).metadata["notes"] if "otherwise" in note)
    assert "timm since 0.9 answers otherwise with these weights, since pictures of 40x40" in note
    assert note in inspect_weights(tmp_path)["problems"]


def test_averaged_weights_come_without_their_counter(tmp_path: Path) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(SwinClassifier(TIMM))
    assert "n_averaged" in averaged.state_dict()
    named = {f"module.{name}": tensor for name, tensor in timm_state().items()} | {"n_averaged": averaged.n_averaged}
    write_pth(tmp_path / "a.pth", named)
    assert open_foreign(tmp_path / "a.pth", image_size=(32, 32)).config.num_classes == 3


def in_shards(folder: Path, parts: list[dict[str, torch.Tensor]]) -> Path:
    names = [f"model-{number:05}-of-{len(parts):05}.safetensors" for number in range(1, len(parts) + 1)]
    for name, part in zip(names, parts, strict=True):
        write_safetensors(folder / name, part)
    places = {tensor: name for name, part in zip(names, parts, strict=True) for tensor in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return folder


def test_a_wrapper_around_one_shard_alone_is_none(tmp_path: Path) -> None:
    """What looks like one is a part of a larger model, whose names have to go on fitting those of the other shards."""
    state = {f"model.encoder.{name}": tensor for name, tensor in export(
        shake(SwinClassifier(TIMM)).state_dict(), TIMM, DIALECTS["microsoft"]).items()}  # fmt: skip
    half = len(state) // 2
    parts = [dict(list(state.items())[:half]), {**dict(list(state.items())[half:]), "decode_head.weight": torch.zeros(1)}]
    folder = in_shards(tmp_path, parts)
    assert recognise(read_states(folder)[0]).prefix == "model.encoder."
    assert open_foreign(folder, image_size=(32, 32)).state.keys() == SwinClassifier(TIMM).state_dict().keys()


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"00002-of-00002\.safetensors holds b again"):
        read_states(in_shards(tmp_path, [{"a": torch.ones(1), "b": torch.ones(1)}, {"b": torch.zeros(1)}]))


def test_a_folder_with_one_file_of_any_name_is_a_model(tmp_path: Path) -> None:
    write_pth(tmp_path / "detector.pth", timm_state())
    assert swinkit.load(tmp_path, image_size=32).config.embed_dim == 8
    write_pth(tmp_path / "another.pth", timm_state())
    with pytest.raises(WeightsError, match="holds no model"):
        swinkit.load(tmp_path, image_size=32)


def test_oblong_windows_that_no_description_names_are_asked_for(tmp_path: Path) -> None:
    config = SwinConfig.model_validate({**SMALL, "window_size": (4, 2)})
    write_pth(tmp_path / "it.pth", export(SwinClassifier(config).state_dict(), config, DIALECTS["timm"]))
    with pytest.raises(UsageError, match="tables of this Swin V1 are of no square window"):
        swinkit.load(tmp_path / "it.pth")


def test_a_size_that_is_not_recorded_is_asked_of_the_command_that_was_given(tmp_path: Path) -> None:
    write_pth(tmp_path / "it.pth", timm_state())
    with pytest.raises(
        UsageError, match="--image-size of the same command or, where it has none, of swinkit convert; in Python"
    ):
        swinkit.load(tmp_path / "it.pth")


@pytest.mark.parametrize("dialect", ["timm", "transformers", "microsoft"])
def test_an_mlp_of_any_width_is_read(tmp_path: Path, dialect: str) -> None:
    config = SwinConfig.model_validate({**SMALL, "mlp_ratio": 2.7})
    state = export(shake(SwinClassifier(config)).state_dict(), config, DIALECTS[dialect])
    write_safetensors(tmp_path / "model.safetensors", state)
    described = transformers.write(config) if dialect == "transformers" else {}
    described = timm.write(config, "abc", Preprocessing(size=(32, 32)), None) if dialect == "timm" else described
    (tmp_path / "config.json").write_text(json.dumps(described))
    assert open_foreign(tmp_path, image_size=(32, 32)).config.hidden_widths == config.hidden_widths


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"rescale_factor": 1 / 127.5},
        {"do_rescale": False},
        {"do_normalize": False},
        {"do_resize": False, "do_center_crop": False},
    ],
    ids=str,
)
def test_pictures_are_prepared_as_by_transformers(change: dict[str, object]) -> None:
    told = {**transformers.write_preprocessor(Preprocessing(size=(32, 32), resize="squash", mean=(0.5, 0.4, 0.3))), **change}
    look, notes = transformers.read_preprocessor(told)
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    theirs = ViTImageProcessor.from_dict(told)(picture, return_tensors="pt")["pixel_values"][0]
    assert notes == ()
    assert torch.allclose(EvaluationTransform(look)(picture), theirs, atol=1e-4 * float(theirs.abs().max()))


@pytest.mark.parametrize(
    "change",
    [
        {"size": {"height": 40, "width": 40}, "do_center_crop": True, "crop_size": {"height": 32, "width": 32}},
        {"size": {"shortest_edge": 28}},  # smaller than the crop, which is filled up with zeros
        {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 32}},
        {"size": {"shortest_edge": 64}, "do_center_crop": False},
        {"size": {"max_height": 64, "max_width": 64}},
        {"do_resize": False},
        {"resample": 1},
    ],
    ids=str,
)
def test_preprocessing_that_ours_cannot_do_is_told_and_keeps_its_statistics(change: dict[str, object]) -> None:
    told = transformers.write_preprocessor(Preprocessing(size=(32, 32), mean=(0.5, 0.4, 0.3)))
    assert transformers.read_preprocessor(told)[1] == ()
    look, notes = transformers.read_preprocessor({**told, **change})
    assert look.mean == (0.5, 0.4, 0.3)
    assert "which swinkit cannot do" in notes[0]


@pytest.mark.parametrize(
    "change", [{"crop_mode": "squash", "crop_pct": 0.8}, {"crop_mode": "border"}, {"interpolation": "lanczos"}], ids=str
)
def test_what_timm_does_and_ours_cannot_is_told(change: dict[str, object], tmp_path: Path) -> None:
    config = SwinConfig.model_validate(SMALL)
    described = timm.write(config, "abc", Preprocessing(size=(32, 32)), None)
    assert timm.read(described).notes == ()
    described["pretrained_cfg"] |= change
    (tmp_path / "config.json").write_text(json.dumps(described))
    write_safetensors(tmp_path / "model.safetensors", export(SwinClassifier(config).state_dict(), config, DIALECTS["timm"]))
    (doubt,) = open_foreign(tmp_path).metadata["doubts"]
    assert "which swinkit cannot do" in doubt
    assert doubt in inspect_weights(tmp_path)["problems"]


def test_an_oblong_crop_in_transformers_is_never_filled_up() -> None:
    told = transformers.write_preprocessor(Preprocessing(size=(64, 160), crop_ratio=0.8))
    assert told["size"]["shortest_edge"] == 200


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("config.json", {"id2label": {"zero": "cat"}}, "do not describe a Swin: ValueError"),
        ("config.json", {"depths": 3}, "do not describe a Swin"),
        ("config.json", {"patch_size": []}, "do not describe a Swin: IndexError"),
        (
            "preprocessor_config.json",
            {"size": {"shortest_edge": "large"}, "do_center_crop": True},
            "do not describe a Swin: TypeError",
        ),
        (
            "preprocessor_config.json",
            {"image_mean": [0.5], "image_std": [0.5]},
            "take 3 channels, but pictures are prepared with 1",
        ),
    ],
)
def test_a_description_that_describes_none_is_refused(tmp_path: Path, name: str, change: dict[str, object], said: str) -> None:
    folder = folder_of(tmp_path, SwinConfig.model_validate(SMALL), Preprocessing(size=(32, 32)))
    (folder / name).write_text(json.dumps({**json.loads((folder / name).read_text()), **change}))
    with pytest.raises(WeightsError, match=said):
        swinkit.load(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_args": {"global_pool": "max"}}, "global_pool='max'; swinkit computes 'avg'"),
        ({"model_args": {"always_partition": True}}, "always_partition=True; swinkit computes False"),
        ({"model_args": {"act_layer": "relu"}}, "act_layer='relu'; swinkit computes 'gelu'"),
        ({"model_args": 7}, "do not describe a Swin: AttributeError"),
        ({"pretrained_cfg": {"input_size": [3, 32, 32]}}, "do not describe a Swin: KeyError"),
    ],
)
def test_what_timm_would_compute_otherwise_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    write_safetensors(tmp_path / "model.safetensors", timm_state())
    described = timm.write(TIMM, "abc", Preprocessing(size=(32, 32)), None)
    (tmp_path / "config.json").write_text(json.dumps(described))
    assert swinkit.load(tmp_path).config == TIMM
    (tmp_path / "config.json").write_text(json.dumps({**described, **change}))
    with pytest.raises(WeightsError, match=said):
        swinkit.load(tmp_path)


def test_a_config_json_without_end_is_refused(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", timm_state())
    (tmp_path / "config.json").write_text("[" * 200_000)
    with pytest.raises(WeightsError, match="is not JSON"):
        swinkit.load(tmp_path)
