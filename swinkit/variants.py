"""Every published Swin as one row: what it is, where it is published, what it reached.

Top-1 is ImageNet-1K validation in per cent, as in the papers' repository (README and MODELHUB of microsoft/Swin-Transformer):
``top1_1k`` trained on ImageNet-1K alone, ``top1_22k`` after pre-training on ImageNet-22K. ``drop_path`` is the stochastic depth
of the published 1K recipe (of the fine-tuning where there is no other). ``gmacs`` are 1e9 multiply-accumulates of one picture as
the same tables give them, under the name FLOPs. A row without figures was described, but no weights were published.
``swin_nano`` and ``swinv2_nano`` are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .config import SwinConfig
from .errors import UsageError, nearest
from .validation import validated

V1 = "Liu et al., Swin Transformer, ICCV 2021, arXiv 2103.14030, section 3.3"
V2 = "Liu et al., Swin Transformer V2, CVPR 2022, arXiv 2111.09883, section 3.5 and table 2"
OURS = "swinkit; the architecture of arXiv 2103.14030 for pictures of 28 to 64 pixels"
OURS_V2 = "swinkit; the architecture of arXiv 2111.09883 for pictures of 28 to 64 pixels"


@dataclass(frozen=True)
class Variant:
    name: str
    config: SwinConfig
    reference: str
    alias: str | None = None
    top1_1k: float | None = None
    top1_22k: float | None = None
    gmacs: float | None = None
    drop_path: float = 0.0


# size:   C, depths, heads of the first stage (they double), stochastic depth
SIZES: dict[str, tuple[int, tuple[int, ...], int, float]] = {
    "tiny": (96, (2, 2, 6, 2), 3, 0.2),
    "small": (96, (2, 2, 18, 2), 3, 0.3),
    "base": (128, (2, 2, 18, 2), 4, 0.5),
    "large": (192, (2, 2, 18, 2), 6, 0.2),
    "huge": (352, (2, 2, 18, 2), 11, 0.3),
    "giant": (512, (2, 2, 42, 4), 16, 0.4),
    "nano": (32, (2, 4, 2), 1, 0.05),
}


def _row(
    name: str, version: int, size: str, image: int, window: int, reference: str, alias: str | None = None,
    top1: tuple[float | None, float | None] = (None, None), gmacs: float | None = None, **extra: Any,
) -> Variant:  # fmt: skip
    width, depths, heads, drop_path = SIZES[size]
    config = SwinConfig.model_validate(
        {
            "version": version, "image_size": image, "window_size": window, "embed_dim": width, "depths": depths,
            "num_heads": tuple(heads * 2**stage for stage in range(len(depths))), **extra,
        }
    )  # fmt: skip
    return Variant(name, config, reference, alias, *top1, gmacs, drop_path)


# pre-trained at 192 with window 12, whose last stage has 6
MOVED: dict[str, Any] = {"pretrained_window_sizes": (12, 12, 12, 6)}
NANO: dict[str, Any] = {"patch_size": 2}
SIXTH: dict[str, Any] = {"extra_norm_every": 6}

# fmt: off
ROWS = (
    #    name                                      V  size     image win  paper  alias          top-1: 1K,  22K   GMACs
    _row("swin_tiny_patch4_window7_224",           1, "tiny",  224,  7,   V1, "swin_t",       (81.2, 80.9), 4.5),
    _row("swin_small_patch4_window7_224",          1, "small", 224,  7,   V1, "swin_s",       (83.2, 83.2), 8.7),
    _row("swin_base_patch4_window7_224",           1, "base",  224,  7,   V1, "swin_b",       (83.5, 85.2), 15.4),
    _row("swin_large_patch4_window7_224",          1, "large", 224,  7,   V1, "swin_l",       (None, 86.3), 34.5),
    _row("swin_tiny_patch4_window12_384",          1, "tiny",  384, 12,   V1, "swin_t_384"),
    _row("swin_small_patch4_window12_384",         1, "small", 384, 12,   V1, "swin_s_384"),
    _row("swin_base_patch4_window12_384",          1, "base",  384, 12,   V1, "swin_b_384",   (84.5, 86.4), 47.1),
    _row("swin_large_patch4_window12_384",         1, "large", 384, 12,   V1, "swin_l_384",   (None, 87.3), 103.9),
    _row("swinv2_tiny_patch4_window8_256",         2, "tiny",  256,  8,   V2, "swinv2_t",     (81.8, None), 5.9),
    _row("swinv2_small_patch4_window8_256",        2, "small", 256,  8,   V2, "swinv2_s",     (83.7, None), 11.5),
    _row("swinv2_base_patch4_window8_256",         2, "base",  256,  8,   V2, "swinv2_b",     (84.2, None), 20.3),
    _row("swinv2_tiny_patch4_window16_256",        2, "tiny",  256, 16,   V2, "swinv2_t_w16", (82.8, None), 6.6),
    _row("swinv2_small_patch4_window16_256",       2, "small", 256, 16,   V2, "swinv2_s_w16", (84.1, None), 12.6),
    _row("swinv2_base_patch4_window16_256",        2, "base",  256, 16,   V2, "swinv2_b_w16", (84.6, None), 21.8),
    _row("swinv2_base_patch4_window12_192",        2, "base",  192, 12,   V2, "swinv2_b_192"),
    _row("swinv2_large_patch4_window12_192",       2, "large", 192, 12,   V2, "swinv2_l"),
    _row("swinv2_base_patch4_window12to16_192to256_22kto1k_ft",  2, "base",  256, 16, V2, "swinv2_b_256_ft", (None, 86.2), 21.8, **MOVED),
    _row("swinv2_base_patch4_window12to24_192to384_22kto1k_ft",  2, "base",  384, 24, V2, "swinv2_b_384_ft", (None, 87.1), 54.7, **MOVED),
    _row("swinv2_large_patch4_window12to16_192to256_22kto1k_ft", 2, "large", 256, 16, V2, "swinv2_l_256_ft", (None, 86.9), 47.5, **MOVED),
    _row("swinv2_large_patch4_window12to24_192to384_22kto1k_ft", 2, "large", 384, 24, V2, "swinv2_l_384_ft", (None, 87.6), 115.4, **MOVED),
    _row("swinv2_huge_patch4_window8_256",         2, "huge",  256,  8,   V2, "swinv2_h", **SIXTH),
    _row("swinv2_giant_patch4_window8_256",        2, "giant", 256,  8,   V2, "swinv2_g", **SIXTH),
    _row("swin_nano",                              1, "nano",   28,  7,   OURS, **NANO),
    _row("swinv2_nano",                            2, "nano",   28,  7,   OURS_V2, **NANO),
)
# fmt: on

VARIANTS = {row.name: row for row in ROWS}
ALIASES = {row.alias: row for row in ROWS if row.alias}
# what tells variants apart, beside the size of their pictures
SHAPE = (
    "version", "patch_size", "embed_dim", "depths", "num_heads", "window_size", "pretrained_window_sizes", "mlp_ratio", "qkv_bias", "ape",
    "extra_norm_every",
)  # fmt: skip


def near_variants(name: str, also: Sequence[str] = ()) -> str:
    """Variants, and of ``also``, that ``name`` may have meant, or all short names, as the end of a message."""
    short = [*ALIASES, "swin_nano", "swinv2_nano", *also]
    return nearest(name, [*VARIANTS, *ALIASES, *also], f"Known short names: {', '.join(short)}.", most=3)


def find(name: str) -> Variant:
    """The row called ``name`` or aliased so; raises :class:`UsageError` with the nearest names."""
    if not isinstance(name, str):
        raise UsageError(
            f"Expected the name of a variant, got {type(name).__name__}. Mend: a name, with fields of the architecture as keywords"
        )
    row = VARIANTS.get(name) or ALIASES.get(name)
    if row is None:
        raise UsageError(f"There is no variant {name!r}. {near_variants(name)}")
    return row


def matching(config: SwinConfig, *, any_size: bool = False) -> list[str]:
    """Names of the variants of the architecture of ``config``, published for pictures of its size or, with ``any_size``, of another."""
    fields = SHAPE if any_size else (*SHAPE, "image_size")
    return [name for name, row in VARIANTS.items() if all(getattr(row.config, key) == getattr(config, key) for key in fields)]


def configure(name: str, **overrides: Any) -> SwinConfig:
    """Configuration of variant ``name`` with some fields replaced, validated anew.

    Raises :class:`UsageError` for an unknown name, an unknown field or an impossible value.
    """
    base = find(name).config
    try:
        return validated(SwinConfig, {**base.model_dump(), **overrides})
    except UsageError as fault:
        raise UsageError(f"Variant {name!r} cannot be configured so. {fault}") from None
