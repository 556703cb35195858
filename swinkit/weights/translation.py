"""A state dict from one dialect to ours and back, strictly: every tensor has its place on both sides, or nothing is converted.

Our side is the state of a :class:`~swinkit.model.classifier.SwinClassifier`, beside it ``output_norms.{stage}`` (norms of the outputs
of detection and segmentation backbones; the last stage's is ``norm``) and ``reconstruction`` (mask token and decoder of SimMIM).
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..config import SwinConfig
from ..errors import WeightsError
from ..model.classifier import SwinClassifier
from .formats.table import PARTS, ZERO_KEYS, Dialect, Pair
from .verify import ShapesOnly, differences, not_finite, signatures

# what surrounds a backbone in a detector or segmenter; its tensors are left out, with a note
SURROUNDINGS = ("neck.", "rpn_head.", "roi_head.", "bbox_head.", "mask_head.", "decode_head.", "auxiliary_head.", "panoptic_head.",
                "data_preprocessor.", "teacher.")  # fmt: skip
TOLERANCE = 1e-4  # of computed buffers, which other versions of torch rounded otherwise; a wrong window is off by 1e-2 at least


class Restored(NamedTuple):
    """Tensors under our names, and what was left out of them and why."""

    state: dict[str, Tensor]
    notes: list[str]


def expected_state(config: SwinConfig, parts: Collection[str] = tuple(PARTS)) -> dict[str, Tensor]:
    """Every tensor of a model of ``config`` with ``parts``, without values, under our names."""
    absent = tuple(beginning for part, beginning in PARTS.items() if part not in parts)
    return {name: tensor for name, tensor in _everything(config).items() if not name.startswith(absent)}


@functools.lru_cache(maxsize=8)
def _everything(config: SwinConfig) -> dict[str, Tensor]:
    pixels = config.strides[-1] ** 2 * config.in_channels
    with ShapesOnly():
        state = dict(SwinClassifier(config).state_dict())
        for stage, width in enumerate(config.widths[:-1]):
            state |= {f"output_norms.{stage}.{leaf}": torch.empty(width) for leaf in ("weight", "bias")}
        state["reconstruction.mask_token"] = torch.empty(1, 1, config.embed_dim)
        state["reconstruction.decoder.weight"] = torch.empty(pixels, config.widths[-1], 1, 1)
        state["reconstruction.decoder.bias"] = torch.empty(pixels)
    return state


def parts_of(state: Iterable[str]) -> set[str]:
    """The parts, beside the backbone, to which names of ours belong."""
    return {part for name in state for part, beginning in PARTS.items() if name.startswith(beginning)}


def export(state: Mapping[str, Tensor], config: SwinConfig, dialect: Dialect, prefix: str | None = None) -> dict[str, Tensor]:
    """``state``, under our names, as ``dialect`` names and shapes it, with the buffers that its library saves.

    Raises :class:`WeightsError` with every reason for which the target cannot express this network.
    """
    refuse_inexpressible(config, dialect)
    prefix = dialect.prefix[config.version] if prefix is None else prefix
    pairs, left = dialect.pairs(state, config, prefix)
    if left:
        painting = all(name.startswith(PARTS["reconstruction"]) for name in left)
        _refuse(
            f"{dialect.title} has no place for", sorted(left), "Mend: --backbone leaves out what painted" if painting else ""
        )
    answer = _apply(pairs, state, config)
    for name, (buffer, i, j) in dialect.computed(config, prefix).items():
        made = buffer.make(config, i, j) if buffer.written else None
        if made is not None:
            answer[name] = made
    return answer


def restore(state: Mapping[str, Tensor], config: SwinConfig, dialect: Dialect, prefix: str) -> Restored:
    """A state dict of ``dialect`` under our names; the opposite of :func:`export`.

    Raises :class:`WeightsError` listing everything that does not fit ``config``, in the names of the file: tensors missing, not
    expected, of another shape or type, not finite, and saved buffers that contradict the configuration.
    """
    notes: list[str] = []
    state = _inner(state, dialect, prefix, notes)
    pairs = present_pairs(state, config, dialect, prefix)
    buffers = {name: place for name, place in dialect.computed(config, prefix).items() if name in state}
    weights = {name: tensor for name, tensor in state.items() if name not in buffers}
    lines = differences(signatures(_apply(pairs, expected_state(config), config)), signatures(weights))
    lines += not_finite(weights)
    for name, (buffer, i, j) in buffers.items():
        lines += _contradiction(name, state[name], buffer.make(config, i, j))
    if lines:
        _refuse(f"The weights, read as {dialect.title}, do not fit the configuration", lines)
    notes += _ignored_keys(pairs, state)
    return Restored({name: tensor for pair in pairs for name, tensor in _restored(pair, state, config)}, notes)


def present_pairs(state: Collection[str], config: SwinConfig, dialect: Dialect, prefix: str) -> list[Pair]:
    """Pairs for the backbone and for each part of which ``state`` has anything, and for the norm.

    Only transformers' backbones of version 2 have no norm at all.
    """
    everything, _ = dialect.pairs(expected_state(config), config, prefix)
    there: set[str] = set()
    for pair in everything:
        if any(name in state for name in pair.theirs):
            there |= parts_of(pair.ours)
    if there or not (config.version == 2 and dialect.name.startswith("transformers")):
        there.add("norm")
    return [pair for pair in everything if parts_of(pair.ours) <= there]


def refuse_inexpressible(config: SwinConfig, dialect: Dialect) -> None:
    """Raise :class:`WeightsError` when the library of ``dialect`` cannot compute a network of ``config``."""
    reasons = dialect.refuses(config) if config.version in dialect.rows else [f"it has no Swin of version {config.version}"]
    if not all(isinstance(side, int) for side in config.pretrained_window_sizes):
        reasons = [*reasons, f"its pre-training windows are square, here they are {config.pretrained_window_sizes}"]
    if reasons:
        _refuse(f"{dialect.title} cannot express this network", reasons)


def _inner(state: Mapping[str, Tensor], dialect: Dialect, prefix: str, notes: list[str]) -> Mapping[str, Tensor]:
    """``state`` without what its library does not use, and without what surrounds a backbone, if its prefix tells of something larger."""
    ignored = dialect.ignored(prefix) & state.keys()
    if ignored:
        notes.append(f"left out, since {dialect.title} does not use it: {', '.join(sorted(ignored))}")
    around = [name for name in state if name.startswith(SURROUNDINGS)] if prefix else []
    if around:
        kinds = sorted({name.split(".")[0] for name in around})
        notes.append(f"{len(around)} tensors around the backbone are left out: {', '.join(kinds)}")
    return {name: tensor for name, tensor in state.items() if name not in ignored | set(around)}


def _apply(pairs: Iterable[Pair], state: Mapping[str, Tensor], config: SwinConfig) -> dict[str, Tensor]:
    answer: dict[str, Tensor] = {}
    for pair in pairs:
        tensors = pair.transform.export(tuple(state[name] for name in pair.ours), config)
        answer.update(zip(pair.theirs, tensors, strict=True))
    return answer


def _restored(pair: Pair, state: Mapping[str, Tensor], config: SwinConfig) -> Iterable[tuple[str, Tensor]]:
    tensors = pair.transform.restore(tuple(state[name] for name in pair.theirs), config)
    return zip(pair.ours, tensors, strict=True)


def _contradiction(name: str, found: Tensor, made: Tensor | None) -> list[str]:
    if made is None:
        return [f"not expected: {name} {tuple(found.shape)}"]
    if found.shape != made.shape:
        return [f"shape: {name} expected {tuple(made.shape)}, got {tuple(found.shape)}"]
    apart = (found.double() - made.double()).abs().max().item() if found.numel() else 0.0
    rounding = torch.finfo(found.dtype).eps * made.abs().max().item() if found.is_floating_point() and made.numel() else 0.0
    return [] if apart <= max(TOLERANCE, rounding) else [f"contradicts the configuration: {name} is off by {apart:.3g}"]


def _ignored_keys(pairs: Iterable[Pair], state: Mapping[str, Tensor]) -> list[str]:
    """torchvision's forward zeroes a bias of keys, so whatever its files hold there is dropped."""
    biased = [
        pair.theirs[0] for pair in pairs if pair.transform is ZERO_KEYS and state[pair.theirs[0]].chunk(3)[1].count_nonzero()
    ]
    return (
        [f"the bias of keys is dropped in {len(biased)} blocks, since torchvision ignores it: {biased[0]} …"] if biased else []
    )


def _refuse(head: str, lines: list[str], mend: str = "") -> None:
    report = "\n".join([*(f"  {line}" for line in lines), *([mend] if mend else [])])
    raise WeightsError(f"{head}, {len(lines)} reason{'s' if len(lines) > 1 else ''}:\n{report}")
