"""Microsoft -> timm -> transformers -> torchvision -> OpenMMLab -> Microsoft: the same bits at the end, the same logits in each library."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from swinkit.config import SwinConfig
from swinkit.errors import WeightsError
from swinkit.model.classifier import SwinClassifier
from swinkit.model.position_bias import log_spaced_coordinates
from swinkit.variants import configure
from swinkit.weights.formats import DIALECTS
from swinkit.weights.recognise import pretrained_window_of, recognise
from swinkit.weights.translation import expected_state, export, restore

from ..peers.building import NETWORKS, logits_of
from ..shaking import shake

CHAIN = ("microsoft", "timm", "transformers", "torchvision", "openmmlab", "microsoft")
TINY = {"embed_dim": 8, "depths": (1, 2), "num_heads": (1, 2), "num_classes": 5, "image_size": 32, "window_size": 4}
CONFIGS = {
    "V1": SwinConfig.model_validate(TINY),
    "V2": SwinConfig.model_validate({**TINY, "version": 2}),
    "V2, window moved, shrunk in the last stage": SwinConfig.model_validate(
        {**TINY, "version": 2, "window_size": 8, "pretrained_window_sizes": (6, 3)}
    ),
}
REAL = ("swin_t", "swin_b_384", "swinv2_t", "swinv2_b_384_ft")


def network(config: SwinConfig) -> SwinClassifier:
    torch.manual_seed(0)
    model = SwinClassifier(config).eval()
    shake(model)
    return model


def travel(state: dict[str, Tensor], config: SwinConfig) -> dict[str, dict[str, Tensor]]:
    """``state`` through the whole chain; each library's own state on the way, and ours after the last step."""
    stations = {}
    for name in CHAIN:
        dialect = DIALECTS[name]
        foreign = export(state, config, dialect)
        stations[name] = foreign
        state = restore(foreign, config, dialect, dialect.prefix[config.version]).state
    return {**stations, "ours": state}


def assert_same_everywhere(config: SwinConfig) -> None:
    model = network(config)
    state = model.state_dict()
    stations = travel(dict(state), config)
    assert stations["ours"].keys() == state.keys()
    assert all(torch.equal(stations["ours"][name], state[name]) for name in state)
    images = torch.randn(1, 3, *config.image_size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = model(images)
        for name, build in NETWORKS.items():
            theirs = build(config)
            foreign = stations[name]
            if name == "transformers" and config.version == 1:
                foreign = export(state, config, DIALECTS["transformers-5"])
            theirs.load_state_dict(foreign, strict=True)
            logits = logits_of(theirs, images)
            assert (logits - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max())), name


@pytest.mark.peers
@pytest.mark.parametrize("name", CONFIGS)
def test_round_trip(name: str) -> None:
    assert_same_everywhere(CONFIGS[name])


@pytest.mark.slow
@pytest.mark.peers
@pytest.mark.parametrize("name", REAL)
def test_round_trip_of_published_sizes(name: str) -> None:
    assert_same_everywhere(configure(name))


@pytest.mark.parametrize("name", REAL)
def test_published_sizes_are_recognised(name: str) -> None:
    """With the real windows and sizes, but one pair of blocks a stage, and narrow."""
    config = configure(name, embed_dim=8, depths=(1, 1, 2, 1), num_heads=(1, 2, 4, 8))
    foreign = export(SwinClassifier(config).state_dict(), config, DIALECTS["microsoft"])
    found = recognise(foreign)
    assert found.dialect.name == "microsoft"
    assert found.windows == tuple(config.stage_window(stage) for stage in range(4))
    assert found.image_size == config.image_size
    if config.version == 2:
        assert found.pretrained_windows == config.pretrained_windows


@pytest.mark.parametrize("name", [name for name in DIALECTS if 2 in DIALECTS[name].rows])
def test_what_no_other_library_can_record_is_refused(name: str) -> None:
    fields = {**TINY, "version": 2, "window_size": 4, "image_size": 32, "pretrained_window_sizes": ((3, 5), 3)}
    config = SwinConfig.model_validate(fields)
    with pytest.raises(WeightsError, match=r"pre-training windows are square, here they are \(\(3, 5\), 3\)"):
        export(expected_state(config), config, DIALECTS[name])


@given(st.tuples(st.integers(2, 24), st.integers(2, 24)), st.tuples(st.integers(2, 24), st.integers(2, 24)))
@settings(max_examples=60, deadline=None)
def test_coordinates_tell_the_window_at_which_they_were_trained(window: tuple[int, int], trained: tuple[int, int]) -> None:
    found = pretrained_window_of(log_spaced_coordinates(window, trained).half(), window)
    assert found == (trained if trained[0] != trained[1] else trained[0])


@pytest.mark.parametrize(("window", "found"), [((1, 1), 1), ((1, 5), 5), ((5, 1), 5)])
def test_an_axis_of_one_patch_tells_nothing(window: tuple[int, int], found: int) -> None:
    assert pretrained_window_of(log_spaced_coordinates(window, (5, 5)), window) == found


def test_saved_mask_has_the_published_shape() -> None:
    """Microsoft's attn_mask of Swin-T at 224: 64 windows of 49 tokens in the first stage, none where nothing shifts."""
    config = configure("swin_t")
    buffers = {name: buffer.make(config, i, j) for name, (buffer, i, j) in DIALECTS["microsoft"].computed(config, "").items()}
    mask = buffers["layers.0.blocks.1.attn_mask"]
    assert mask is not None
    assert mask.shape == (64, 49, 49)
    assert set(mask.unique().tolist()) == {-100.0, 0.0}
    assert buffers["layers.0.blocks.0.attn_mask"] is None
    assert buffers["layers.3.blocks.1.attn_mask"] is None
