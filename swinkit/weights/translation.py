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
from .surroundings import beside, outside, remark
from .verify import ShapesOnly, differences, not_finite, signatures

TOLERANCE = 1e-4  # of computed buffers, which other versions of torch rounded otherwise; a wrong window is off by 1e-2 at least


class Restored(NamedTuple):
    """Tensors under our names, what was left out of them and why, and the foreign names of what lay around the network."""

    state: dict[str, Tensor]
    notes: list[str]
    around: tuple[str, ...] = ()


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


def explained(config: SwinConfig, dialect: Dialect, prefix: str) -> dict[str, set[str]]:
    """Every name that ``dialect`` has at ``prefix`` for what belongs to a network of ``config``, with the parts it belongs to."""
    pairs, _ = dialect.pairs(expected_state(config), config, prefix)
    names: dict[str, set[str]] = {name: set() for name in (*dialect.computed(config, prefix), *dialect.ignored(prefix))}
    return names | {name: parts_of(pair.ours) for pair in pairs for name in pair.theirs}


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


def restore(
    state: Mapping[str, Tensor], config: SwinConfig, dialect: Dialect, prefix: str,
    *, others: Collection[str] = (), backbone: bool = False,
) -> Restored:  # fmt: skip
    """A state dict of ``dialect`` under our names; the opposite of :func:`export`.

    What lies outside ``prefix``, or below one of ``others``, those of other networks, is left out with a note; with ``backbone``, since no
    more is wanted, also what lies beside the backbone.

    Raises :class:`WeightsError` listing everything that does not fit ``config``, in the names of the file: tensors missing, not
    expected, of another shape or type, not finite, and saved buffers that contradict the configuration.
    """
    notes: list[str] = []
    known = explained(config, dialect, prefix)
    strange = beside(state, known, prefix)
    left = {*outside(state, known, prefix, others), *(strange if backbone else ())}
    state = _inner({name: tensor for name, tensor in state.items() if name not in left}, dialect, prefix, notes)
    notes += remark(left, prefix)
    pairs = present_pairs(state, config, dialect, prefix)
    buffers = {name: place for name, place in dialect.computed(config, prefix).items() if name in state}
    weights = {name: tensor for name, tensor in state.items() if name not in buffers}
    lines = differences(signatures(_apply(pairs, expected_state(config), config)), signatures(weights))
    lines += not_finite(weights)
    for name, (buffer, i, j) in buffers.items():
        lines += _contradiction(name, state[name], buffer.make(config, i, j))
    if lines:
        _refuse(
            f"The weights, read as {dialect.title}, do not fit the configuration",
            lines,
            _deletion(lines, state, known, strange),
        )
    notes += _ignored_keys(pairs, state)
    tensors = {name: tensor for pair in pairs for name, tensor in _restored(pair, state, config)}
    return Restored(tensors, notes, tuple(left))


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
    """``state`` without what its library does not use."""
    ignored = dialect.ignored(prefix) & state.keys()
    if ignored:
        notes.append(f"left out, since {dialect.title} does not use it: {', '.join(sorted(ignored))}")
    return {name: tensor for name, tensor in state.items() if name not in ignored}


def _deletion(lines: Iterable[str], state: Iterable[str], known: Collection[str], strange: Collection[str]) -> str:
    """The mend where nothing is wrong but that there is more than was expected."""
    if not all(line.startswith("not expected: ") for line in lines):
        return ""
    within = [name for name in state if name not in known and name not in strange]
    alone = "" if within else ", or take the backbone alone, which swinkit convert --backbone does"
    return f"Mend: delete these names from the file, if what the network computes does not depend on them{alone}"


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
