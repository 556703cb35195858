"""The table of variants and the description it hands down."""

import pytest
import torch

from swinkit.config import SwinConfig
from swinkit.errors import UsageError
from swinkit.model.classifier import SwinClassifier
from swinkit.variants import ALIASES, VARIANTS, configure, find, matching
from swinkit.weights.descriptions import timm

# millions of parameters as published (Swin table 1 and the model hub; Swin V2, section on model configurations)
PUBLISHED = {
    "tiny": 28.3, "small": 49.6, "base": 87.8, "large": 196.5, "v2_huge": 658, "v2_giant": 3000,
    "v2_tiny": 28.3, "v2_small": 49.7, "v2_base": 87.9, "v2_large": 196.7,
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in VARIANTS if "nano" not in name])
def test_published_sizes_on_the_meta_device(name):
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in SwinClassifier(VARIANTS[name].config).parameters())
    size = name.split("_")[1]
    assert count / 1e6 == pytest.approx(PUBLISHED[f"v2_{size}" if name.startswith("swinv2") else size], rel=3e-3)


def test_nano_has_at_most_two_million_parameters():
    for name in ("swin_nano", "swinv2_nano"):
        assert sum(p.numel() for p in SwinClassifier(configure(name, num_classes=10)).parameters()) <= 2_000_000


@pytest.mark.parametrize("name", ["swinv2_h", "swinv2_g"])
def test_the_largest_run_at_small_width(name):
    config = find(name).config
    narrow = configure(name, embed_dim=8, num_heads=[1, 2, 4, 8], image_size=64, num_classes=3)
    assert (narrow.depths, narrow.extra_norm_every) == (config.depths, 6)
    assert SwinClassifier(narrow).eval()(torch.randn(1, 3, 64, 64)).isfinite().all()


def test_names_and_aliases_are_distinct():
    assert not set(VARIANTS) & set(ALIASES)
    assert all(find(alias) is find(row.name) for alias, row in ALIASES.items())


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_found_by_its_architecture(name):
    """timm's name for it too, where swinv2_base was told from its like by neither patch nor by the window it was trained with."""
    config = VARIANTS[name].config
    assert matching(config) == [name]
    assert matching(config.model_copy(update={"image_size": (512, 512)}), any_size=True) == [name]
    assert timm.published(config) == (None if "nano" in name else name)
    assert matching(config.model_copy(update={"patch_size": 8}), any_size=True) == []
    for other in ({"mlp_ratio": 2.0}, {"qkv_bias": False}, {"ape": True}):
        assert matching(config.model_copy(update=other), any_size=True) == []
    assert timm.published(config.model_copy(update={"patch_size": 8})) is None


def test_an_unknown_variant_names_its_neighbours():
    with pytest.raises(UsageError, match=r"no variant 'swin_tt'.*swin_t"):
        find("swin_tt")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_heads": (3, 6)}, "num_heads has 2 entries and depths 4"),
        ({"embed_dim": 100}, "100 channels do not divide into 3 heads"),
        ({"pretrained_window_sizes": (12,)}, "pretrained_window_sizes has 1 entries; expected 4"),
        ({"extra_norm_every": 6}, "belong to version 2"),
        ({"window_size": 0}, "window_size"),
        ({"windows": 7}, "windows"),
        ({"drop_path_rate": 1.0}, "drop_path_rate"),
    ],
)
def test_impossible_configurations_are_explained(fields, message):
    with pytest.raises(ValueError, match=message):
        SwinConfig(**fields)
    with pytest.raises(UsageError, match=message):
        configure("swin_t", **fields)


def test_a_window_never_exceeds_its_stage_unless_dense():
    config = configure("swinv2_t_w16")
    assert [config.stage_window(stage) for stage in range(4)] == [(16, 16)] * 3 + [(8, 8)]
    assert configure("swinv2_t_w16", geometry="dense").stage_window(3) == (16, 16)
    assert SwinConfig(image_size=(64, 224), window_size=7).stage_window(3) == (2, 7)
