"""What attention costs, by the papers' formulas. Unit: MAC, one multiplication with its addition."""

from __future__ import annotations

from typing import Any

from ...study.macs import count_macs, msa, window_msa
from ...study.vit import VITS, count_vit_macs
from ...variants import find

VIT = "deit_s"  # ViT-S/16, Swin-T's usual peer
# pixels; all whole in windows of 7 patches of 4, and in patches of 16
SIDES = (112, 224, 336, 448, 560, 672, 896, 1120, 1344, 1792, 2240)


def by_resolution() -> dict[str, Any]:
    """Both formulas at Swin-T's first stage, and whole networks, for squares of ``SIDES`` pixels."""
    config = find("swin_t").config
    width, window, heads = config.embed_dim, config.window_size[0], config.num_heads[0]
    rows = []
    for side in SIDES:
        tokens = side // config.patch_size
        whole, windowed = msa(tokens, tokens, width), window_msa(tokens, tokens, width, window)
        rows.append(
            {
                "side": side, "map": tokens, "tokens": tokens**2, "msa": whole, "wmsa": windowed, "ratio": whole / windowed,
                "msa_bytes": tokens**4 * heads * 4, "wmsa_bytes": tokens**2 * window**2 * heads * 4,
                "swin": count_macs(config, (side, side)).total, "vit": count_vit_macs(VITS[VIT], (side, side)).total,
            }
        )  # fmt: skip
    return {"rows": rows, "width": width, "window": window, "heads": heads, "start": SIDES.index(224)}
