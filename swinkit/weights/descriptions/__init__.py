"""What other libraries write beside their weights: architecture, classes and preprocessing, read and written."""

from __future__ import annotations

from dataclasses import dataclass

from ...config import Masking, SwinConfig
from ...preprocessing import Preprocessing


@dataclass(frozen=True)
class Told:
    """What a description says. None stands for "not recorded"; ``notes`` are what it says and swinkit cannot do, a sentence each;
    ``masking`` is what a pre-training of swinkit's hid."""

    config: SwinConfig | None = None
    classes: tuple[str, ...] | None = None
    preprocessing: Preprocessing | None = None
    multi_label: bool = False
    notes: tuple[str, ...] = ()
    masking: Masking | None = None


def settled_pretrained(config: SwinConfig) -> list[int | tuple[int, int]]:
    """``pretrained_window_sizes`` as the other libraries write them: a 0 per stage stands for the present window."""
    return list(config.pretrained_window_sizes) or [0] * config.num_stages
