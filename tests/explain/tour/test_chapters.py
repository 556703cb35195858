"""What the tour says is what the library computes: chapters against definitions written here."""

from __future__ import annotations

import base64
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from swinkit import create_model
from swinkit.errors import UsageError
from swinkit.explain.tour import blocks, costs, measured, patches, position, second, windows
from swinkit.explain.tour.facts import variants
from swinkit.explain.tour.measured import Effort
from swinkit.explain.tour.subject import Subject, open_subject
from swinkit.explain.tour.tracing import Trace, trace
from swinkit.study.macs import count_macs
from swinkit.study.vit import VITS
from tests.shaking import shake


@pytest.fixture(scope="module")
def subject() -> Subject:
    return open_subject()


@pytest.fixture(scope="module")
def traced(subject: Subject) -> Trace:
    return trace(subject.model, subject.image)


def other_than(subject: Subject, variant: str, **overrides: Any) -> Subject:
    """The same picture with a model of ``variant`` whose weights are large enough that each of them counts."""
    return replace(subject, model=shake(create_model(variant, in_channels=subject.image.shape[1], **overrides).eval()))


def test_the_default_is_a_trained_model_on_a_picture_it_knows(subject: Subject, traced: Trace) -> None:
    assert subject.trained
    assert subject.tiny
    top = patches.hierarchy(subject, traced)["top"][0]
    assert top["label"] == subject.truth
    assert top["score"] > 0.5


def test_a_photograph_without_a_model_gets_swin_t_and_says_that_it_is_untrained(tmp_path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    subject = open_subject(tmp_path / "a.png")
    assert (subject.model_name, subject.trained, subject.size) == ("swin_t", False, (224, 224))
    small = open_subject(tmp_path / "a.png", "swinv2_nano")
    assert (small.trained, small.size) == (False, (28, 28))


def test_a_model_without_pairs_of_blocks_is_refused(tmp_path) -> None:
    import swinkit
    from swinkit.preprocessing import Preprocessing
    from swinkit.tasks import described

    model = create_model("swin_nano", depths=(1,), num_heads=(1,), num_classes=2)
    swinkit.save(described(model, ("a", "b"), Preprocessing(size=(28, 28))), tmp_path / "m")
    with pytest.raises(UsageError, match="pair of blocks"):
        open_subject(None, str(tmp_path / "m"))


def test_embedding_is_one_matrix_on_patches(subject: Subject, traced: Trace) -> None:
    assert patches.embedding(subject, traced)["difference"] < 1e-5
    placed = other_than(subject, "swin_nano", ape=True)
    assert patches.embedding(placed, trace(placed.model, placed.image))["difference"] < 1e-5


def test_merging_by_hand_is_the_model_s(subject: Subject, traced: Trace) -> None:
    found = patches.merging(subject, traced)
    assert found["difference"] < 1e-5
    assert [row["joined"] // found["width"] for row in found["neighbours"]] == [4, 9, 16]
    assert [row["reduced"] for row in found["neighbours"]] == [found["out"][-1], None, None]  # Swin merges 2 x 2 alone
    x = torch.arange(6.0).view(1, 2, 3, 1)
    assert [float(part.flatten()[0]) for part in patches.quarters(x)] == [0.0, 3.0, 1.0, 4.0]


def test_layer_norm_does_not_hear_of_the_batch_and_batch_norm_does(subject: Subject) -> None:
    found = blocks.norms(subject)
    assert found["ln_change"] == 0
    assert found["bn_change"] > 0.01


def test_a_block_is_a_sum(subject: Subject, traced: Trace) -> None:
    assert blocks.pair(subject, traced)["difference"] < 1e-5
    v2 = open_subject(None, "swinv2_nano")
    thrice = other_than(subject, "swinv2_nano", extra_norm_every=2)
    for one in (v2, thrice):
        assert blocks.pair(one, trace(one.model, one.image))["difference"] < 1e-5


def test_paper_s_formulas() -> None:
    assert costs.msa(56, 56, 96) == 4 * 3136 * 96**2 + 2 * 3136**2 * 96
    assert costs.window_msa(56, 56, 96, 7) == 8 * 8 * costs.msa(7, 7, 96)
    found = costs.by_resolution()
    row = found["rows"][found["start"]]
    assert row["side"] == 224
    assert row["swin"] == count_macs(create_model("swin_t").config, (224, 224)).total


def test_the_formulas_are_asked_where_nothing_is_padded_or_cut_off() -> None:
    for row in costs.by_resolution()["rows"]:
        assert row["map"] % 7 == 0, row["side"]
        assert row["side"] % VITS[costs.VIT].patch == 0, row["side"]


def test_windows_of_all_ways_hold_every_token_once(subject: Subject, traced: Trace) -> None:
    found = windows.shift(subject, traced)
    for way in ("regular", "padded", "cyclic"):
        held = sorted(token for window in found[way]["windows"] for token in window if token >= 0)
        assert held == list(range(found["rows"] * found["columns"])), way
    assert found["padded"]["counts"] == [found["regular"]["counts"][0] + 1, found["regular"]["counts"][1] + 1]
    assert found["difference"] < 1e-6


def test_regions_are_what_the_model_masks(traced: Trace) -> None:
    grid = traced.stage(0)[1].grid
    for window, mask in zip(windows.regions(grid), grid.mask, strict=True):
        region = torch.tensor(window)
        assert torch.equal(region[:, None] != region[None, :], mask < 0)


def test_layers_are_called_shifted_where_they_shift(subject: Subject, traced: Trace) -> None:
    wanted = [one.shifted for one in traced.blocks if one.index < 2]
    assert wanted == [False, True, *4 * [False]]  # one window covers the maps of the later stages
    assert [layer["shifted"] for layer in position.bias(subject, traced)["layers"]] == wanted
    assert [layer["shifted"] for layer in windows.attention(traced)["layers"]] == wanted


def test_without_bias_a_window_is_a_set(subject: Subject, traced: Trace) -> None:
    found = position.bias(subject, traced)
    assert found["without_bias"] < 1e-5 < 1e-2 < found["with_bias"]


@pytest.mark.parametrize("variant", ["swin_nano", "swinv2_nano"])
def test_without_bias_a_window_that_is_filled_up_is_a_set(variant: str) -> None:
    model = create_model(variant, num_classes=2, in_channels=1, image_size=40).eval()
    for block in model.backbone.stages[0].blocks:
        torch.nn.init.normal_(next(block.attention.bias.parameters()), std=3)
    first = trace(model, torch.randn(1, 1, 40, 40)).stage(0)[0]
    assert first.before.shape[1] % first.grid.window[0]
    with torch.inference_mode():
        found = position.permuted(first)
    assert found["without_bias"] < 1e-5 < 1e-4 < found["with_bias"]


def test_v2_keeps_its_head_where_v1_does_not(subject: Subject, traced: Trace) -> None:
    found = second.second(subject, traced)
    loud = found["amplitude"]
    assert loud["v1"][-1] > 4 * loud["v1"][0]
    assert max(loud["v2"]) < 1.2 * min(loud["v2"])
    logits = found["logits"]
    assert logits["product"][-1] == pytest.approx(64 * logits["product"][0], rel=1e-3)
    assert max(logits["cosine"]) <= logits["start"] + 1e-4
    assert found["coordinates"]["log_reach"] < found["coordinates"]["linear_reach"]
    assert found["transfer"]["error"] < 0.4
    assert (found["mask"]["cells"], found["mask"]["hidden"]) == (36, 22)


def test_a_network_over_offsets_is_carried_to_a_larger_window_from_where_it_was_trained() -> None:
    fields = {"version": 2, "image_size": 16, "window_size": 4, "pretrained_window_sizes": (7, 7)}
    model = create_model("swin_nano", **fields, embed_dim=8, depths=(1, 1), num_heads=(1, 2))
    bias = model.backbone.stages[0].blocks[0].attention.bias
    asked: Any = SimpleNamespace(
        block=SimpleNamespace(attention=SimpleNamespace(bias=bias)), grid=SimpleNamespace(window=(4, 4))
    )
    found = second.transfer(model, asked)
    surface = bias.values().view(7, 7)
    centre = np.frombuffer(base64.b64decode(found["log"]["data"]), np.uint8).reshape(15, 15)[4:11, 4:11] / 255
    span = found["log"]["high"] - found["log"]["low"]
    assert np.allclose(found["log"]["low"] + centre * span, surface.detach(), atol=span / 200)


def test_amplitudes_leave_no_weight_changed(subject: Subject) -> None:
    before = {name: tensor.clone() for name, tensor in subject.model.state_dict().items()}
    second.amplitudes(subject)
    assert all(torch.equal(before[name], tensor) for name, tensor in subject.model.state_dict().items())


def test_timings_are_taken_in_turn_and_can_be_left_out() -> None:
    calls: list[str] = []
    found = measured.in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert found["a"]["runs"] == 2
    assert "time" not in measured.shift_ways(Effort(0))["cyclic"]
    timed = measured.against_vit(Effort(1, (32,)))["rows"][0]
    assert timed["ratio"] == timed["times"]["vit"]["median"] / timed["times"]["swin"]["median"]


@pytest.mark.parametrize("variant", ["swin_nano", "swinv2_nano"])
def test_every_way_of_running_a_model_answers_as_the_model_does(variant: str) -> None:
    subject = open_subject(None, variant)
    before = {name: tensor.clone() for name, tensor in subject.model.state_dict().items()}
    rows = measured.ways(subject, Effort(0))
    assert rows[0] == {"name": "plain", "difference": 0.0, "same": True}
    assert [row["name"] for row in rows[:3]] == ["plain", "folded", "native"]
    assert all(row["difference"] < 1e-5 for row in rows[1:3])
    assert all(1e-5 < row["difference"] < 0.05 for row in rows[3:])  # bfloat16, where the processor has it
    assert all(torch.equal(before[name], tensor) for name, tensor in subject.model.state_dict().items())
    assert all(parameter.requires_grad for parameter in subject.model.parameters())


def test_the_gain_of_a_way_is_against_the_plain_model(subject: Subject) -> None:
    rows = measured.ways(subject, Effort(2))
    assert rows[0]["gain"] == 1
    assert all(row["gain"] == rows[0]["time"]["median"] / row["time"]["median"] for row in rows)
    assert all(row["time"]["runs"] == 2 for row in rows)


def test_parameters_of_the_variants_are_the_published_ones() -> None:
    rows = {row["alias"]: row["parameters"] for row in variants()}
    assert {name: round(rows[name] / 1e6) for name in ("swin_t", "swin_s", "swin_b", "swin_l")} == {
        "swin_t": 28, "swin_s": 50, "swin_b": 88, "swin_l": 197,
    }  # fmt: skip


def test_a_picture_is_named_without_its_folder(tmp_path):
    Image.new("RGB", (28, 28)).save(tmp_path / "mine.png")
    assert open_subject(tmp_path / "mine.png").picture_name == "mine.png"
