"""What a picture costs in SimMIM: multiply-accumulates (MACs) of encoder and decoder, faithful and sparse. Counted, so the same on every machine.

    python benchmarks/simmim_macs.py

The encoder's are `swinkit.study.macs.count_macs` of the network that sees what is left of the picture; the decoder's, half of what torch counts as
FLOPs of its products. Results go to benchmarks/results/simmim_macs.json.
"""

from __future__ import annotations

from typing import Any

import torch
from common.measuring import Results, Table, options
from common.pretraining import described
from torch.utils.flop_counter import FlopCounterMode

from swinkit.model.simmim import SimMIM, cell_grid
from swinkit.study.macs import count_macs
from swinkit.study.statistics import short

CASES = (
    ("Swin-T", "swin_t", 192),
    ("Swin-B", "swin_b", 192),
    ("SwinV2-B", "swinv2_base_patch4_window16_256", 192),
    ("swin_nano", "swin_nano", 28),
)


def counted(model: str, side: int, sparse: bool) -> dict[str, int]:
    """MACs of encoder and decoder for one picture."""
    config, masking = described(model, side, sparse)
    with torch.device("meta"):
        net = SimMIM(config, masking)
        seen = net.backbone.config
        rows, columns = (-(-extent // seen.strides[-1]) for extent in seen.image_size)
        mask = torch.zeros(1, *cell_grid((side, side), masking), dtype=torch.uint8)
        with FlopCounterMode(display=False) as counter:
            net.reconstruction(torch.zeros(1, rows, columns, config.widths[-1]), mask)
    return {"encoder": count_macs(seen, seen.image_size).total, "decoder": counter.get_total_flops() // 2}


def run(name: str, model: str, side: int) -> dict[str, Any]:
    window = described(model, side, sparse=False)[0].window_size[0]
    ways = {"faithful": counted(model, side, sparse=False), "sparse": counted(model, side, sparse=True)}
    return {"name": f"{name}, {side}/{window}", **ways}


def table(cases: list[dict[str, Any]]) -> Table:
    figures = [(way, part) for part in ("encoder", "decoder") for way in ("faithful", "sparse")]
    columns = ("network, pixels / window", *(f"{part}, {way}, GMAC" for way, part in figures))
    return Table(columns, [[case["name"], *(short(case[way][part] / 1e9) for way, part in figures)] for case in cases])


def main() -> None:
    chosen = options(__file__, __doc__)
    results = Results(__file__, chosen.out, table, chosen.said)
    for case in CASES[-1:] if chosen.quick else CASES:
        results.add(run(*case))
    results.finish()


if __name__ == "__main__":
    main()
