"""The dialects in which Swin weights are published, each a table of names in a file of its own."""

from __future__ import annotations

from .microsoft import DENSE, MICROSOFT, SIMMIM
from .openmmlab import OPENMMLAB
from .timm import TIMM
from .torchvision import TORCHVISION
from .transformers import BACKBONE, BACKBONE_5, TRANSFORMERS, TRANSFORMERS_5

# where two tables fit a file equally well, they name the same tensors, and the first is reported
DIALECTS = {
    dialect.name: dialect
    for dialect in (
        MICROSOFT, TIMM, TRANSFORMERS, TRANSFORMERS_5, TORCHVISION, OPENMMLAB, DENSE, SIMMIM, BACKBONE, BACKBONE_5,
    )
}  # fmt: skip
ALIASES = {
    "ms": "microsoft",
    "timm-0.6": "microsoft",
    "hf": "transformers",
    "mmdet": "openmmlab",
    "mmseg": "openmmlab",
    "mmpretrain": "openmmlab",
}
