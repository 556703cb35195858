from __future__ import annotations

import re

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from swinkit.config import SwinConfig
from swinkit.model.classifier import SwinClassifier
from swinkit.study.macs import count_macs, padding_share, published_macs
from swinkit.study.vit import VITS, build_vit, count_vit_macs
from swinkit.variants import ROWS, VARIANTS, configure


# GMACs in table 1 of arXiv 2103.14030 (given as FLOPs) and in microsoft/Swin-Transformer's README
@pytest.mark.parametrize(
    ("name", "published"), [("swin_t", 4.5), ("swin_s", 8.7), ("swin_b", 15.4), ("swin_b_384", 47.1), ("swinv2_t", 5.9)]
)
def test_published_figures(name, published):
    config = configure(name)
    assert count_macs(config, config.image_size).total / 1e9 == pytest.approx(published, rel=0.015)


def test_shares_of_swin_t():
    macs = count_macs(configure("swin_t"), (224, 224))
    shares = [
        round(100 * part / macs.total, 1)
        for part in (macs.mlp, macs.qkv, macs.projection, macs.attention, macs.merging, macs.patch)
    ]
    assert shares == [61.8, 23.2, 7.7, 3.1, 3.9, 0.3]


@pytest.mark.parametrize("size", [(32, 32), (30, 21), (9, 70)])
@pytest.mark.parametrize(("version", "geometry"), [(1, "classification"), (1, "dense"), (2, "classification")])
def test_what_runs_is_what_is_counted(size, version, geometry):
    config = SwinConfig(
        version=version, image_size=(32, 32), patch_size=2, embed_dim=8, depths=(2, 2), num_heads=(2, 2), window_size=3,
        num_classes=3, geometry=geometry, in_channels=2,
    )  # fmt: skip
    model = SwinClassifier(config).eval()
    # the fused kernels of a processor escape torch's counter; the plain one does not
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 2, *size))
    assert count_macs(config, size).total * 2 == counter.get_total_flops()


@pytest.mark.parametrize(("name", "size", "wasted"), [("swin_t", 224, 0.0), ("swinv2_t", 256, 0.0), ("swin_nano", 56, 0.0)])
def test_native_sizes_waste_nothing(name, size, wasted):
    assert padding_share(configure(name, image_size=size), (size, size)) == pytest.approx(wasted)


def test_odd_sizes_waste_more():
    config = configure("swin_t")
    assert padding_share(config, (225, 225)) > 0.2
    assert 0 < padding_share(config, (256, 256)) < padding_share(config, (232, 232))


PUBLISHED = [row for row in ROWS if row.gmacs]


def test_every_variant_with_published_weights_on_imagenet_1k_has_published_macs():
    assert {row.name for row in ROWS if row.top1_1k or row.top1_22k} == {row.name for row in PUBLISHED}


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row.alias)
def test_the_papers_figures_by_the_papers_convention(row):
    assert published_macs(row.config, row.config.image_size) / 1e9 == pytest.approx(row.gmacs, rel=0.01)


@pytest.mark.parametrize("name", [*VARIANTS])
def test_torch_counts_every_part_of_every_variant_the_same(name):
    config = configure(name)
    with torch.device("meta"):
        model = SwinClassifier(config).eval()
    pictures = torch.empty(1, 3, *config.image_size, device="meta")
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(pictures)
    seen = {module: sum(operators.values()) for module, operators in counter.get_flop_counts().items()}
    macs = count_macs(config, config.image_size)
    assert counter.get_total_flops() == 2 * macs.total

    def told(pattern):
        return sum(flops for module, flops in seen.items() if re.fullmatch(rf"SwinClassifier\.{pattern}", module))

    assert told(r"backbone\.patch_embed") == 2 * macs.patch
    assert told(r"backbone\.stages\.\d+\.merge") == 2 * macs.merging
    assert told(r"backbone\.stages\.\d+\.blocks\.\d+\.mlp") == 2 * macs.mlp
    assert told(r"backbone\.stages\.\d+\.blocks\.\d+\.attention\.bias") == 2 * macs.position
    assert told(r"backbone\.stages\.\d+\.blocks\.\d+\.attention\.proj") == 2 * macs.projection
    attention = macs.qkv + macs.attention + macs.projection + macs.position
    assert told(r"backbone\.stages\.\d+\.blocks\.\d+\.attention") == 2 * attention
    assert told("head") == 2 * macs.head


@pytest.mark.parametrize("name", VITS)
def test_vision_transformers(name):
    config = VITS[name]
    macs = count_vit_macs(config, (224, 224))
    assert macs.total / 1e9 == pytest.approx(config.gmacs, rel=0.04 if name == "deit_ti" else 0.01)  # 1.258, published as 1.3
    with torch.device("meta"):
        model = build_vit(config, 64)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, 64, 64, device="meta"))
    assert counter.get_total_flops() == 2 * count_vit_macs(config, (64, 64)).total
