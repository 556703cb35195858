"""Checkpoints that other scripts load without complaint and answer wrongly with: each is named or refused here, none loads."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from swinkit.config import SwinConfig
from swinkit.errors import SwinkitError, UsageError, WeightsError
from swinkit.model.backbone import PatchMerging
from swinkit.model.classifier import SwinClassifier
from swinkit.weights.files import read_model
from swinkit.weights.foreign import open_foreign
from swinkit.weights.formats import DIALECTS
from swinkit.weights.formats.table import UNFOLD
from swinkit.weights.inspection import inspect_state
from swinkit.weights.merge_order import SURE, likeness, swapped_merges
from swinkit.weights.named import BUNDLED
from swinkit.weights.recognise import recognise
from swinkit.weights.settle import settle
from swinkit.weights.translation import export, restore

from ..shaking import shake

TINY = {"embed_dim": 32, "depths": (1, 2), "num_heads": (1, 2), "num_classes": 5, "image_size": 32, "window_size": 4}
V1 = SwinConfig.model_validate(TINY)
V2 = SwinConfig.model_validate({**TINY, "version": 2})
DENSE = SwinConfig.model_validate({**TINY, "geometry": "dense"})
MOVED = SwinConfig.model_validate({**TINY, "version": 2, "pretrained_window_sizes": (3, 2)})
State = dict[str, Tensor]


def saved(config: SwinConfig, dialect: str) -> State:
    state = dict(shake(SwinClassifier(config)).state_dict())
    if dialect == "microsoft-dense":
        state = {name: tensor for name, tensor in state.items() if not name.startswith("head.")}
        state |= {"output_norms.0.weight": torch.ones(32), "output_norms.0.bias": torch.zeros(32)}
    return export(state, config, DIALECTS[dialect])


def read(state: State, config: SwinConfig | None = None) -> State:
    """As loading does: recognise, settle unless told, convert strictly."""
    found = recognise(state)
    return restore(state, config or settle(found), found.dialect, found.prefix).state


def key_bias(state: State) -> None:
    state["layers.0.blocks.0.attn.k_bias"] = torch.full((32,), 0.5)


def hf_key_bias(state: State) -> None:
    state["swinv2.encoder.layers.0.blocks.0.attention.self.key.bias"] = torch.full((32,), 0.5)


def unrenamed(state: State) -> None:
    for name in [name for name in state if "cpb_mlp" in name]:
        state[name.replace("cpb_mlp", "rpe_mlp")] = state.pop(name)


def another_window(state: State) -> None:
    name = "layers.1.blocks.0.attn.relative_position_bias_table"
    state[name] = torch.zeros(25, 2)


def no_last_norm(state: State) -> None:
    del state["backbone.norm1.weight"], state["backbone.norm1.bias"]


def half(state: State) -> None:
    for name in list(state)[1::2]:
        del state[name]


def nan(state: State) -> None:
    state["layers.1.blocks.1.mlp.fc2.weight"].view(-1)[7] = float("nan")


def stray(state: State) -> None:
    state["layers.0.blocks.0.attn.gate"] = torch.ones(1)


def wrong_mask(state: State) -> None:
    state["layers.0.blocks.0.attn.relative_position_index"] = state["layers.0.blocks.0.attn.relative_position_index"].T.flip(0)


FAULTS: dict[str, tuple[SwinConfig, str, Callable[[State], None], str]] = {
    "K bias of timm": (V2, "timm", key_bias, r"k_bias is off by 0\.5"),
    "K bias of transformers": (V2, "transformers", hf_key_bias, r"key\.bias is off by 0\.5"),
    "rpe_mlp": (V2, "microsoft", unrenamed, r"missing: layers\.0.*cpb_mlp(.|\n)*not expected: .*rpe_mlp"),
    "table of another window": (V1, "timm", another_window, r"shape: layers\.1\.blocks\.0.*expected \(49, 2\), got \(25, 2\)"),
    "missing norm": (DENSE, "microsoft-dense", no_last_norm, r"missing: backbone\.norm1\.weight"),
    "half the keys": (V1, "microsoft", half, r"missing: "),
    "NaN": (V1, "microsoft", nan, r"not finite: layers\.1\.blocks\.1\.mlp\.fc2\.weight"),
    "a tensor too many": (V1, "microsoft", stray, r"not expected: layers\.0\.blocks\.0\.attn\.gate \(1,\)"),
    "another index": (V1, "microsoft", wrong_mask, r"relative_position_index is off"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted(fault: str) -> None:
    config, dialect, plant, message = FAULTS[fault]
    state = saved(config, dialect)
    assert read(dict(state), config)  # it is the fault that is refused
    plant(state)
    with pytest.raises(WeightsError, match=message):
        read(state, config)


def test_every_unmatched_key_of_both_sides_is_in_one_message() -> None:
    state = saved(V1, "timm")
    state["layers.1.downsampel.reduction.weight"] = state.pop("layers.1.downsample.reduction.weight")
    state["haed.fc.weight"] = state.pop("head.fc.weight")
    with pytest.raises(WeightsError) as refused:
        read(state, V1)
    for name in ("layers.1.downsampel", "layers.1.downsample.reduction", "haed.fc.weight", "head.fc.weight"):
        assert name in str(refused.value)


def test_key_bias_of_torchvision_is_dropped_with_a_note() -> None:
    state = saved(V2, "torchvision")
    expected = restore(state, V2, DIALECTS["torchvision"], "")
    assert expected.notes == []
    state["features.1.0.attn.qkv.bias"][32:64] = 0.5  # torchvision's forward zeroes it
    found = restore(state, V2, DIALECTS["torchvision"], "")
    assert "1 blocks" in found.notes[0]
    assert all(torch.equal(found.state[name], tensor) for name, tensor in expected.state.items())


def test_wrong_pretrained_window() -> None:
    state = saved(MOVED, "microsoft")
    assert recognise(state).pretrained_windows == (3, 2)
    with pytest.raises(WeightsError, match=r"relative_coords_table is off by 0\.\d"):
        read(state, V2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("dialect", ["microsoft", "torchvision", "openmmlab"])
def test_buffers_in_half_precision_are_those_of_the_configuration(dialect: str, dtype: torch.dtype) -> None:
    """A model of version 2 that was halved whole; a wrong pre-training window still shows."""
    wide = SwinConfig.model_validate(
        {**TINY, "version": 2, "image_size": 96, "window_size": 12, "pretrained_window_sizes": (11, 10)}
    )
    halved = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in saved(wide, dialect).items()}
    assert all(tensor.dtype in (dtype, torch.int64) for tensor in halved.values())
    assert read(halved, wide)["head.weight"].dtype is dtype
    assert recognise(halved).pretrained_windows == (11, 10)
    with pytest.raises(WeightsError, match="relative_coords_table is off by"):
        read(halved, wide.model_copy(update={"pretrained_window_sizes": (12, 12)}))


def test_a_window_that_is_not_recorded_is_asked_for() -> None:
    config = SwinConfig.model_validate({**TINY, "version": 2, "embed_dim": 96, "num_heads": (3, 6), "depths": (2, 2)})
    found = recognise(saved(config, "timm"))
    assert (found.windows, found.pretrained_windows, found.image_size) == (None, None, None)
    with pytest.raises(UsageError, match="does not record the window"):
        settle(found)


def test_wrong_class_count() -> None:
    state = saved(V1, "timm")
    with pytest.raises(WeightsError, match=r"shape: head\.fc\.weight expected \(7, 64\), got \(5, 64\)"):
        read(state, V1.model_copy(update={"num_classes": 7}))


def trained_merge(config: SwinConfig) -> State:
    """A state whose merges treat the four copies of a channel alike, as training makes them."""
    state = dict(shake(SwinClassifier(config)).state_dict())
    for name in [
        name for name in state if ".merge.reduction" in name or (config.version == 1 and ".merge.norm.weight" in name)
    ]:
        alike = state[name].unflatten(-1, (4, -1))
        state[name] = (alike.mean(-2, keepdim=True) * 2 + 0.5 * alike).flatten(-2)
    return state


@pytest.mark.parametrize("config", [V1, V2], ids=["V1", "V2"])
@pytest.mark.parametrize("dialect", ["microsoft", "timm", "transformers", "torchvision", "openmmlab"])
def test_swapped_merge_order_is_named(config: SwinConfig, dialect: str) -> None:
    state = export(trained_merge(config), config, DIALECTS[dialect])
    assert swapped_merges(state, recognise(state)) is None
    swap = UNFOLD.restore if dialect == "openmmlab" else UNFOLD.export
    for name in [
        name for name in state if name.endswith("reduction.weight") or ("downsample.norm" in name and config.version == 1)
    ]:
        (state[name],) = swap((state[name],), config)
    named = swapped_merges(state, recognise(state))
    assert named is not None
    assert "standard deviations" in named


@pytest.mark.parametrize("dialect", ["microsoft", "openmmlab"])
@pytest.mark.parametrize("leaves", [("norm", "reduction"), ("reduction",)], ids=["as version 1", "as version 2"])
def test_swapped_merge_order_of_a_trained_model_is_named(dialect: str, leaves: tuple[str, ...]) -> None:
    """The bundled model, as it is and swapped: nobody planted in it how merges look after training."""
    file = read_model(BUNDLED / "swin_nano.fashion_mnist")
    anywhere = replace(DIALECTS[dialect], refuses=lambda config: [])  # Microsoft's code pads nothing, and 28 pixels want it
    state = export(file.state, file.config, anywhere)
    swap = UNFOLD.restore if dialect == "openmmlab" else UNFOLD.export
    found = recognise(state)
    if "norm" not in leaves:
        state = {name: tensor for name, tensor in state.items() if "downsample.norm" not in name}
    assert swapped_merges(state, found) is None
    for name in [name for name in state if "downsample" in name]:
        (state[name],) = swap((state[name],), file.config)
    assert swapped_merges(state, found) is not None


def test_random_merges_say_nothing_about_their_order() -> None:
    state = saved(V1, "microsoft")
    assert swapped_merges(state, recognise(state)) is None
    draw = torch.Generator().manual_seed(0)
    leads = [math.dist(likeness(torch.randn(shape, generator=draw)), (0, 0)) for shape in [(64, 128), (256,)] * 50]
    assert max(leads) < SURE  # standard deviations, whatever the size


def test_a_level_of_each_copy_is_no_likeness() -> None:
    """At a padded border one neighbour is always zero, so its gains drift together."""
    gains = torch.randn(4, 64, generator=torch.Generator().manual_seed(0)) + torch.tensor([0.0, 3.0, 5.0, 9.0])[:, None]
    assert max(likeness(gains.flatten())) < SURE


@pytest.mark.parametrize("version", [1, 2])
def test_openmmlab_merges_with_unfold(version: int) -> None:
    """nn.Unfold and exported tensors give what our merging gives: the order, on norm and reduction, is right."""
    torch.manual_seed(version)
    config = SwinConfig.model_validate({**TINY, "version": version})
    model = shake(SwinClassifier(config))
    merge = model.backbone.stages[1].merge
    assert isinstance(merge, PatchMerging)
    foreign = export(model.state_dict(), config, DIALECTS["openmmlab"])
    place = "backbone.stages.0.downsample." if version == 1 else "backbone.stages.1.downsample."
    norm, reduction = (foreign[place + "norm.weight"], foreign[place + "norm.bias"]), foreign[place + "reduction.weight"]
    x = torch.randn(2, 6, 8, 32)
    columns = torch.nn.Unfold(2, stride=2)(x.permute(0, 3, 1, 2)).transpose(1, 2)
    if version == 1:
        merged = torch.nn.functional.layer_norm(columns, norm[0].shape, *norm) @ reduction.T
    else:
        merged = torch.nn.functional.layer_norm(columns @ reduction.T, norm[0].shape, *norm)
    torch.testing.assert_close(merged.view(2, 3, 4, 64), merge(x))


def test_microsoft_merges_four_slices() -> None:
    model = shake(SwinClassifier(V1))
    foreign = export(model.state_dict(), V1, DIALECTS["microsoft"])
    x = torch.randn(2, 6, 8, 32)
    four = torch.cat((x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]), -1)
    place = "layers.0.downsample."
    normed = torch.nn.functional.layer_norm(four, (128,), foreign[place + "norm.weight"], foreign[place + "norm.bias"])
    torch.testing.assert_close(normed @ foreign[place + "reduction.weight"].T, model.backbone.stages[1].merge(x))


def test_what_a_library_cannot_compute_is_refused() -> None:
    ape = SwinConfig.model_validate({**TINY, "ape": True})
    extra = SwinConfig.model_validate({**TINY, "version": 2, "extra_norm_every": 1})
    odd = SwinConfig.model_validate({**TINY, "image_size": 28, "patch_size": 2, "depths": (1, 1, 1), "num_heads": (1, 2, 4)})
    oblong = SwinConfig.model_validate({**TINY, "image_size": (16, 32)})
    padded = SwinConfig.model_validate({**TINY, "image_size": 48, "window_size": 8, "depths": (2, 2)})
    for config, dialect, reason in [
        (ape, "timm", "absolute position"),
        (ape, "torchvision", "absolute position"),
        (extra, "microsoft", "norm3"),
        (DENSE, "torchvision", "geometry"),
        (DENSE, "timm", "rolls a map before it pads"),
        (DENSE, "microsoft", "geometry 'dense'"),
        (DENSE, "transformers", "geometry 'dense'"),
        (V1, "microsoft-dense", "--geometry dense"),
        (V1, "transformers-backbone", "--geometry dense"),
        (odd, "microsoft", "pads nothing"),
        (odd, "timm", "odd map"),
        (odd, "transformers", "odd map"),
        (padded, "timm", "a map of 12x12, which windows of 8x8 do not divide"),
        (padded, "transformers", "stage 2 has a smaller map"),
        (oblong, "transformers", "along both"),
        (oblong, "microsoft", "square"),
        (V2, "microsoft-dense", "version 2"),
        (V1, "simmim", "version 1"),
    ]:
        with pytest.raises(WeightsError, match=reason):
            export(SwinClassifier(config).state_dict(), config, DIALECTS[dialect])


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_fault_28_a_file_that_does_not_fit_is_listed_whole(legacy: bool, tmp_path: Path) -> None:
    state = saved(V1, "microsoft")
    state["norm.weight"] = torch.full((64,), torch.nan)
    state["layers.1.blocks.0.mlp.fc1.weight"] = torch.zeros(7, 7)
    state["stray.weight"] = torch.zeros(2)
    torch.save({"model": state}, tmp_path / "swin.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WeightsError) as fault:
        open_foreign(tmp_path / "swin.pth", image_size=(32, 32))
    for words in ("not finite: norm.weight", "shape: layers.1.blocks.0.mlp.fc1.weight", "not expected: stray.weight"):
        assert words in str(fault.value)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.complex64, torch.uint16], ids=str)
@pytest.mark.parametrize("name", ["layers.1.blocks.0.mlp.fc1.weight", "layers.1.downsample.reduction.weight"])
def test_a_type_that_no_swin_has_is_named(dtype: torch.dtype, name: str) -> None:
    state = saved(V1, "timm")
    state[name] = state[name].abs().to(dtype)
    with pytest.raises(WeightsError, match=f"type: {name} expected F32, got {dtype}"):
        read(state, V1)


def malformed(tensor: Tensor, draw: random.Random) -> Tensor:
    """Other axes, other sides, no numbers, or numbers that are none."""
    return draw.choice([
        lambda: tensor.flatten(), lambda: tensor[None], lambda: tensor[:0], lambda: torch.zeros(()), lambda: tensor.narrow(-1, 0, 1),
        lambda: torch.cat([tensor, tensor]), lambda: torch.full(tensor.shape, torch.nan), lambda: torch.full(tensor.shape, torch.inf),
        lambda: tensor.to(torch.complex64), lambda: tensor.bool(), lambda: tensor.float() * 1e30,
    ])()  # fmt: skip


@pytest.mark.parametrize(
    ("config", "dialect"),
    [(V1, "microsoft"), (V2, "microsoft"), (V2, "torchvision"), (DENSE, "microsoft-dense"), (V1, "transformers")],
)
@pytest.mark.filterwarnings("ignore:Casting complex values", "ignore:std():UserWarning")
def test_malformed_tensors_end_in_a_refusal_or_in_a_report(config: SwinConfig, dialect: str) -> None:
    """Whatever shape and values a tensor has by which a file is recognised."""
    draw, whole = random.Random(0), saved(config, dialect)
    for name in [*whole, *(draw.choice(list(whole)) for _ in range(40))]:
        state = {**whole, name: malformed(whole[name], draw)}
        try:
            assert inspect_state(state)["problems"]
            read(state)
        except SwinkitError:
            continue
        same = state[name].dtype != torch.complex64 and state[name].shape == whole[name].shape
        assert same, f"{name} {tuple(state[name].shape)} is read as if nothing were"
