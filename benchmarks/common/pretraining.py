"""Subjects of the benchmark of pre-training, built inside measuring processes: whole steps, weights updated, of swinkit and of transformers."""

from __future__ import annotations

from typing import Any

import torch
import transformers.models.swin.modeling_swin  # noqa: F401  here, so that its memory is not taken for a network's

from swinkit.config import Masking, SwinConfig
from swinkit.kernels.accelerate import accelerate
from swinkit.model.simmim import SimMIM, cell_grid, random_mask, reconstruction_loss, uniform_mask
from swinkit.study.process import Subject
from swinkit.variants import configure
from swinkit.weights.formats import DIALECTS
from swinkit.weights.translation import export
from tests.shaking import shake

BATCHES = 4  # different ones, in turn


def described(model: str, side: int, sparse: bool) -> tuple[SwinConfig, Masking]:
    """Variant ``model`` at ``side`` pixels, its window smaller in proportion as SimMIM has it, and what is hidden from it."""
    published = configure(model)
    window = max(1, round(published.window_size[0] * side / published.image_size[0]))
    config = configure(model, image_size=side, window_size=window, num_classes=0)
    stride = config.strides[-1]
    return config, Masking(cell=stride // 2 if sparse else stride, sparse=sparse)


def network(model: str, side: int, sparse: bool) -> SimMIM:
    """:func:`described`, with random weights."""
    return shake(SimMIM(*described(model, side, sparse))).train()  # type: ignore[return-value]


def batches(net: SimMIM, batch: int, side: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Pictures and masks, the same in every process."""
    generator, made = torch.Generator().manual_seed(0), []
    for _ in range(BATCHES):
        images = torch.randn(batch, net.config.in_channels, side, side, generator=generator)
        chance = torch.rand(batch, *cell_grid((side, side), net.masking), generator=generator)
        mask = uniform_mask(chance, net.masking.covered) if net.masking.sparse else random_mask(chance, net.masking.ratio)
        made.append((images, mask))
    return made


def stepping(parameters: Any, loss_of: Any, precision: str) -> Any:
    """One step of training: forward, loss, backward, AdamW."""
    optimizer = torch.optim.AdamW(parameters, lr=1e-5, fused=True)

    def step(number: int) -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            loss = loss_of(number % BATCHES)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def ours(model: str, batch: int, side: int, precision: str, sparse: bool = False) -> Subject:
    net = accelerate(network(model, side, sparse))  # as swinkit trains
    data = batches(net, batch, side)

    def loss(number: int) -> torch.Tensor:
        images, mask = data[number]
        return reconstruction_loss(images, net(images, mask), mask, net.masking)

    return Subject(stepping(net.parameters(), loss, precision), {"parameters": sum(p.numel() for p in net.parameters())})


def theirs(model: str, batch: int, side: int, precision: str) -> Subject:
    """transformers' masked image modelling with the same weights, pictures and masks."""
    import transformers

    net = network(model, side, sparse=False)
    config = net.config
    kinds = {1: (transformers.SwinConfig, transformers.SwinForMaskedImageModeling),
             2: (transformers.Swinv2Config, transformers.Swinv2ForMaskedImageModeling)}  # fmt: skip
    describe, build = kinds[config.version]
    peer = build(
        describe(
            image_size=side, window_size=config.window_size[0], embed_dim=config.embed_dim, depths=list(config.depths),
            num_heads=list(config.num_heads), patch_size=config.patch_size, num_channels=config.in_channels,
            encoder_stride=config.strides[-1],
        )
    )  # fmt: skip
    dialect = DIALECTS["transformers-5" if config.version == 1 else "transformers"]
    peer.load_state_dict(export(net.state_dict(), config, dialect), strict=True)
    peer.train()
    factor = net.masking.cell // config.patch_size
    data = [
        (images, mask.repeat_interleave(factor, 1).repeat_interleave(factor, 2).flatten(1).bool())
        for images, mask in batches(net, batch, side)
    ]

    def loss(number: int) -> torch.Tensor:
        images, mask = data[number]
        return peer(images, bool_masked_pos=mask).loss

    return Subject(stepping(peer.parameters(), loss, precision), {"parameters": sum(p.numel() for p in peer.parameters())})
