"""The loss is that of transformers' masked image modelling, with the same weights and the same mask."""

import pytest
import torch

from swinkit.config import Masking, SwinConfig
from swinkit.model.simmim import SimMIM, reconstruction_loss
from swinkit.weights.formats import DIALECTS
from swinkit.weights.translation import export

from ..shaking import shake

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.peers

CASES = [
    {"version": 1, "image_size": 64, "window_size": 4},
    {"version": 1, "image_size": 96, "window_size": 3, "in_channels": 4},
    {"version": 2, "image_size": 64, "window_size": 4},
]


def peer(config):
    kinds = {1: (transformers.SwinConfig, transformers.SwinForMaskedImageModeling),
             2: (transformers.Swinv2Config, transformers.Swinv2ForMaskedImageModeling)}  # fmt: skip
    describe, build = kinds[config.version]
    described = describe(
        image_size=config.image_size[0], window_size=config.window_size[0], embed_dim=config.embed_dim, depths=list(config.depths),
        num_heads=list(config.num_heads), patch_size=config.patch_size, num_channels=config.in_channels,
        encoder_stride=config.strides[-1],
    )  # fmt: skip
    return build(described).eval()


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("cell", [None, 16])
def test_the_loss_is_that_of_transformers(case, cell):
    config = SwinConfig.model_validate({"embed_dim": 24, "depths": (2, 2, 2), "num_heads": (2, 4, 6), "num_classes": 0, **case})
    masking = Masking(cell=cell or config.patch_size)
    ours = shake(SimMIM(config, masking)).eval()
    theirs = peer(config)
    dialect = DIALECTS["transformers-5" if config.version == 1 else "transformers"]
    theirs.load_state_dict(export(ours.state_dict(), config, dialect), strict=True)

    side = config.image_size[0]
    images = torch.randn(2, config.in_channels, side, side)
    mask = (torch.rand(2, side // masking.cell, side // masking.cell) < 0.6).to(torch.uint8)
    factor = masking.cell // config.patch_size
    tokens = mask.repeat_interleave(factor, 1).repeat_interleave(factor, 2).flatten(1).bool()
    with torch.no_grad():
        painted = ours(images, mask)
        loss = reconstruction_loss(images, painted, mask, masking)
        answer = theirs(images, bool_masked_pos=tokens)
    assert float(loss) == pytest.approx(float(answer.loss), abs=1e-5)
    assert torch.allclose(painted, answer.reconstruction, atol=1e-4)
