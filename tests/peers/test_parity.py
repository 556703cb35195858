"""The same random weights give the same logits in the installed peers, at native size; torchvision pads as we do, at any size."""

import pytest
import torch

from swinkit.model.classifier import SwinClassifier
from swinkit.variants import configure

from ..shaking import shake
from .building import NETWORKS, logits_of, peer_of

pytestmark = pytest.mark.peers


def relative_difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def pictures(size: tuple[int, int]) -> torch.Tensor:
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("variant", ["swin_t", "swin_s", "swin_b", "swinv2_t", "swinv2_t_w16"])
@torch.no_grad()
def test_native_size(variant):
    config = configure(variant, num_classes=10)
    model = shake(SwinClassifier(config))
    images = pictures(config.image_size)
    logits = model(images)
    for name in NETWORKS:
        peer = peer_of(name, config, model.state_dict())
        assert relative_difference(logits, logits_of(peer, images)) < 1e-5, name


@pytest.mark.parametrize("variant", ["swin_t", "swinv2_t"])
@torch.no_grad()
def test_torchvision_at_other_sizes(variant):
    config = configure(variant, num_classes=10)
    model = shake(SwinClassifier(config))
    peer = peer_of("torchvision", config, model.state_dict())
    for size in ((256, 256), (320, 192), (480, 640)):
        images = pictures(size)
        assert relative_difference(model(images), logits_of(peer, images)) < 1e-5, size
