"""What lies around a network in a file of weights: which of it is left out, and the sentences that say so."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from .formats.table import outer_of

# what surrounds a backbone in a detector or segmenter (OpenMMLab, Detectron2)
DENSE = ("neck.", "rpn_head.", "roi_head.", "bbox_head.", "mask_head.", "decode_head.", "auxiliary_head.", "panoptic_head.",
         "data_preprocessor.", "proposal_generator.", "roi_heads.", "sem_seg_head.")  # fmt: skip
AVERAGED = re.compile(r"(?:^|[._])(?:ema|teacher|averaged|momentum|target|encoder_k)[._]")
MOST_KINDS = 8  # that one sentence lists


def is_averaged(prefix: str) -> bool:
    """Whether ``prefix`` tells of an average over the steps, or of a teacher, of which the plain network is preferred."""
    return bool(AVERAGED.search(prefix))


def of_dense(names: Iterable[str], prefix: str) -> int:
    """How many of ``names`` surround a backbone at ``prefix`` as they do in a detector or segmenter; none where it has no prefix."""
    outer = outer_of(prefix)
    return sum(name.removeprefix(outer).startswith(DENSE) for name in names) if prefix else 0


def outside(names: Iterable[str], known: Collection[str], prefix: str, others: Iterable[str]) -> list[str]:
    """Of ``names``, those that lie not below ``prefix`` or below that of another network; but for ``known``, which the reading explains."""
    apart = tuple(other for other in others if not prefix.startswith(other))
    return [name for name in names if name not in known and (not name.startswith(prefix) or name.startswith(apart))]


def beside(names: Iterable[str], known: Mapping[str, set[str]], prefix: str) -> list[str]:
    """Of ``names`` below ``prefix``, those beside the backbone: a decoder or an unknown head, but nothing within a layer that it has.

    ``known`` are names that the reading explains, with the parts they belong to.
    """
    layers = {
        _kind(name, prefix)
        for name, parts in known.items()
        if name.startswith(prefix) and not parts & {"head", "reconstruction"}
    }
    return [name for name in names if name not in known and name.startswith(prefix) and _kind(name, prefix) not in layers]


def remark(left: Iterable[str], prefix: str) -> list[str]:
    """The sentence that says what was left out of the reading at ``prefix``; none where it was nothing."""
    left = list(left)
    many = "tensors around the backbone are" if len(left) > 1 else "tensor around the backbone is"
    return [f"{len(left)} {many} left out: {kinds(left, prefix)}"] if left else []


def kinds(names: Iterable[str], prefix: str) -> str:
    """How ``names`` begin, as far as one reads a list."""
    found = sorted({_kind(name, prefix) for name in names})
    more = f" and {len(found) - MOST_KINDS} more" if len(found) > MOST_KINDS else ""
    return ", ".join(found[:MOST_KINDS]) + more


def headless(left: Iterable[str], prefix: str, others: Iterable[str]) -> list[str]:
    """The sentence that says that a classifier's own head may be among what was left out; none where that was other networks."""
    apart = [name for name in left if not name.startswith(tuple(others))]
    return (
        [f"no head was read, and one of another name may be among what was left out: {kinds(apart, prefix)}"] if apart else []
    )


def several(prefix: str, others: Collection[str]) -> list[str]:
    """The sentence that says which of several networks is read, and how another of them is; none where there is one."""
    if not others:
        return []
    read, first = (f"below {prefix!r}" if prefix else "without a prefix"), min(others)
    # its head may lie beside what it puts before its backbone
    below = outer if (outer := outer_of(first)) and not prefix.startswith(outer) else first
    chosen = f"name.startswith({below!r})" if below else f"not name.startswith({prefix!r})"
    left = ", ".join(f"below {other!r}" if other else "without a prefix" for other in sorted(others))
    return [
        f"{len(others) + 1} networks are in it: the one {read} was read, and not that {left}. To read another, save it alone: "
        f'torch.save({{name: tensor for name, tensor in state.items() if {chosen}}}, "other.pth")'
    ]


def _kind(name: str, prefix: str) -> str:
    inner = name.removeprefix(prefix) if name.startswith(prefix) else name.removeprefix(outer_of(prefix))
    return inner.split(".")[0]
