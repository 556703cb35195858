"""A model as it stands in training, without what torch put around it."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..errors import UsageError
from ..model.backbone import SwinBackbone

WRAPPED = ("_orig_mod", "module")  # where torch.compile, and where DDP and averaging hold the model
SHARDED = "FullyShardedDataParallel"  # of FSDP 1; parameters of FSDP 2 are DTensors


def bare(model: Any) -> Any:
    """The model inside ``model``, whatever of torch.compile, DDP and AveragedModel it is in; anything else as it is.

    Raises :class:`UsageError` for what cannot be saved: a backbone alone, and a model in shards, before any process waits for the others.
    """
    if not isinstance(model, nn.Module):
        return model
    # full_tensor is what DTensor has and importing it would take a second
    if any(hasattr(tensor, "full_tensor") for tensor in model.parameters()) or any(
        type(part).__name__ == SHARDED for part in model.modules()
    ):
        raise UsageError(
            "Expected a whole model, got one of which each process holds shards (FSDP). Mend: in every process "
            "torch.distributed.checkpoint.state_dict.get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True)), "
            "in the first load that into a model made as this one was, without FSDP, and save it"
        )
    while inner := next((one for name in WRAPPED if isinstance(one := getattr(model, name, None), nn.Module)), None):
        model = inner
    if isinstance(model, SwinBackbone):
        raise UsageError("Expected a classifier, got its backbone alone. Mend: save the classifier that it belongs to")
    return model
