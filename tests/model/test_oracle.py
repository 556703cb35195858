"""The model against the brute-force oracle, at odd sizes, in both geometries and both versions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swinkit.config import SwinConfig
from swinkit.model.classifier import SwinClassifier
from swinkit.model.position_bias import MlpBias, log_spaced_coordinates

from ..oracle import forward
from ..shaking import shake


def in_double(model: SwinClassifier) -> SwinClassifier:
    """The model in float64, log-spaced coordinates included, which it keeps in float32."""
    model = model.double()
    for module in model.modules():
        if isinstance(module, MlpBias):
            module.coordinates = log_spaced_coordinates(module.window, module.pretrained_window, torch.float64)
    return model


def assert_agrees(config: SwinConfig, size: tuple[int, int], seed: int = 0) -> None:
    """Every stage's map and the logits equal the oracle's, in float64."""
    model = in_double(shake(SwinClassifier(config), seed))
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    pictures = torch.randn(2, config.in_channels, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    with torch.no_grad():
        features, logits = model.features(pictures), model(pictures)
    for index, picture in enumerate(pictures):
        maps, expected = forward(config, weights, picture.numpy())
        for ours, theirs in zip(features, maps, strict=True):
            np.testing.assert_allclose(ours[index].permute(1, 2, 0).numpy(), theirs, rtol=0, atol=1e-9 * np.abs(theirs).max())
        np.testing.assert_allclose(logits[index].numpy(), expected, rtol=0, atol=1e-9 * np.abs(expected).max())


sides = st.integers(5, 40)
windows = st.tuples(st.integers(2, 5), st.integers(2, 5))


@st.composite
def configs(draw: st.DrawFn) -> SwinConfig:
    """Small configurations of every kind: both versions and geometries, windows that are no squares, each option."""
    version = draw(st.sampled_from([1, 2]))
    depths = draw(st.sampled_from([(2, 2), (1, 2, 1), (3, 2), (2, 1, 2)]))
    v2 = {}
    if version == 2:
        pretrained = st.lists(st.sampled_from([0, 2, 3, 6, (2, 5), (6, 3)]), min_size=len(depths), max_size=len(depths))
        v2 = {"pretrained_window_sizes": draw(pretrained), "extra_norm_every": draw(st.sampled_from([0, 1, 2]))}
    return SwinConfig(
        version=version,
        image_size=(draw(sides), draw(sides)),
        patch_size=draw(st.integers(2, 4)),
        in_channels=draw(st.integers(1, 4)),
        num_classes=5,
        embed_dim=draw(st.sampled_from([8, 16])),
        depths=depths,
        num_heads=draw(st.sampled_from([(1, 2, 4), (2, 2, 2), (2, 4, 8)]))[: len(depths)],
        window_size=draw(windows),
        mlp_ratio=draw(st.sampled_from([1.0, 2.5, 4.0])),
        qkv_bias=draw(st.booleans()),
        ape=draw(st.booleans()),
        geometry=draw(st.sampled_from(["classification", "dense"])),
        **v2,
    )


@settings(max_examples=40, deadline=None)
@given(configs(), st.tuples(sides, sides), st.integers(0, 1000))
def test_any_small_model_at_any_size(config, size, seed):
    assert_agrees(config, size, seed)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("geometry", ["classification", "dense"])
@pytest.mark.parametrize("size", [(29, 41), (16, 16), (7, 53)])
def test_published_proportions(version, geometry, size):
    """Window 7, pairs of blocks, heads that double: as published, but narrow; sizes that pad, that fit, that one window covers."""
    config = SwinConfig(
        version=version, image_size=32, patch_size=2, embed_dim=8, depths=(2, 2), num_heads=(1, 2), window_size=7,
        num_classes=3, geometry=geometry,
    )  # fmt: skip
    assert_agrees(config, size)


def test_the_oracle_can_disagree():
    """A model of the other geometry, with the same weights, is told apart."""
    config = SwinConfig(image_size=16, patch_size=2, embed_dim=8, depths=(2,), num_heads=(2,), window_size=4, num_classes=3)
    model = shake(SwinClassifier(config)).double()
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    picture = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    dense = config.model_copy(update={"geometry": "dense"})
    _, expected = forward(dense, weights, picture[0].numpy())
    assert np.abs(model(picture)[0].detach().numpy() - expected).max() > 1e-3
