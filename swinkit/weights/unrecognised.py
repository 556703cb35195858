"""What is said of tensors among which there is no Swin that could be read."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..errors import WeightsError
from .formats import DIALECTS

# layers that swinkit alone calls so
OWN = {"backbone.patch_embed.proj", "backbone.stages.0.blocks.0.attention.qkv"}


def nothing_found(state: Mapping[str, Tensor]) -> WeightsError:
    """The error for ``state``, with what it may be instead."""
    some = ", ".join(list(state)[:4])
    if {name.rpartition(".")[0] for name in state} >= OWN:
        return WeightsError(
            f"These {len(state)} tensors ({some}, …) have swinkit's own names, without the config.json that says what they are. "
            "Mend: put it beside them as model.safetensors, or save the model anew, swinkit.save(model, folder)"
        )
    if state and all(map(str.isdecimal, state)):
        return WeightsError(
            f"These {len(state)} tensors ({some}, …) are numbered, as in the states that a training of swinkit saves to go on from, which "
            "name no model. Mend: of a run RUN take RUN/model, or go on with it by --resume RUN"
        )
    return WeightsError(
        f"There is no Swin among these {len(state)} tensors ({some}, …). Expected the names of one of: {', '.join(DIALECTS)}"
    )
