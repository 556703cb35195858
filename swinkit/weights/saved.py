"""A saved model of any origin, not yet a module, and what can be changed about it before it becomes one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config import Masking, SwinConfig
from ..errors import UsageError
from ..model.simmim import compacted
from ..model.windows import Size
from ..preprocessing import Preprocessing
from .formats import DIALECTS
from .resize import METHODS, USUAL, fit, moved, on_whole_pictures, with_pretrained_windows

HEAD = "head."
PUBLISHED_NORMALISE = 47  # pixels around each, of V2
OF_ANSWERS = ("metrics", "temperature")  # of the metadata, what holds for these classes alone
FEWEST = 3  # tokens along a window; in smaller ones hardly any token attends to another


@dataclass(frozen=True)
class Saved:
    """``state`` holds tensors under our names; it may hold more than a classifier has, and lack its head or norm.

    ``masking`` is what swinkit hid in a pre-training without labels. ``trained`` is the configuration whose windows ``state`` has, where
    that is not ``config`` until it is :func:`fitted`, and ``resizing`` the convention for that, where it is not the origin's.
    """

    config: SwinConfig
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    multi_label: bool
    metadata: Mapping[str, Any]
    state: dict[str, Tensor] = field(repr=False)
    masking: Masking | None = None
    trained: SwinConfig | None = None
    resizing: str | None = None


def at_size(saved: Saved, image_size: Size, window_size: Size | None = None, method: str | None = None) -> Saved:
    """``saved`` for pictures of ``image_size`` and windows of ``window_size``; bias tables by ``method`` or its origin's convention."""
    return fitted(meant_for(saved, image_size, window_size), method)


def meant_for(saved: Saved, image_size: Size, window_size: Size | None = None) -> Saved:
    """``saved`` with the configuration for such pictures and windows, its weights as they are."""
    preprocessing = saved.preprocessing.model_copy(update={"size": image_size})
    config = moved(saved.config, image_size, window_size)
    same = (config, preprocessing) == (saved.config, saved.preprocessing)
    metadata = saved.metadata if same else without(saved.metadata, "metrics")
    return replace(saved, config=config, trained=saved.config, preprocessing=preprocessing, metadata=metadata)


OF_LOADING = ("swinkit", "format", "notes", "doubts")  # of the metadata, what loading says and no file shall repeat


def without(metadata: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """``metadata`` but for ``names``: what was measured of another network than it will now belong to."""
    return {name: value for name, value in metadata.items() if name not in names}


def lasting(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a file of our own shall repeat of ``metadata``, and how its bias tables are resized, if that is not as Microsoft's are."""
    origin = DIALECTS.get(str(metadata.get("format")))
    resizing = {"resizing": origin.resizing} if origin and origin.resizing != USUAL else {}
    return {**resizing, **without(metadata, *OF_LOADING)}


def at_other_size(saved: Saved, image_size: Size) -> Saved:
    """:func:`meant_for` pictures of ``image_size``; the windows of what learned without labels follow them, as in :func:`handed_over`.

    ``notes`` and ``doubts`` of the metadata say which position information will no longer be what was trained.
    """
    meant = meant_for(saved, image_size, scaled_window(saved.config, image_size) if is_pretrained(saved) else None)
    doubts = interpolated(saved.config, meant.config)
    told = {name: [*sentences(saved.metadata, name), *doubts] for name in ("notes", "doubts")}
    return replace(meant, metadata={**meant.metadata, **told})


def sentences(metadata: Mapping[str, Any], name: str) -> list[str]:
    """What loading told under ``name``, "notes" or "doubts"; what an author of the file put there in another form is none of it."""
    told = metadata.get(name)
    return list(told) if isinstance(told, list | tuple) and all(isinstance(one, str) for one in told) else []


def interpolated(trained: SwinConfig, config: SwinConfig) -> list[str]:
    """A sentence for each kind of position information that weights of ``trained`` have to be given for ``config``."""
    stages = [stage for stage in range(config.num_stages) if config.stage_window(stage) != trained.stage_window(stage)]
    reasons = []
    if stages:
        now, then = (_by(one.stage_window(stages[0])) for one in (config, trained))
        reasons.append(f"stage {stages[0] + 1} has windows of {now} tokens instead of {then}: its position bias")
    if config.ape and config.grid(0) != trained.grid(0):
        reasons.append("there are other tokens: their absolute position embedding")
    return [
        f"At {_by(config.image_size)} pixels instead of {_by(trained.image_size)} {reason} is not what was trained, and answers may be worse than those "
        "that were measured, unless it is fine-tuned at that size"
        for reason in reasons
    ]


def _by(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def fitted(saved: Saved, method: str | None = None) -> Saved:
    """``saved`` with its position information resized to the windows of its configuration."""
    if saved.trained is None:
        return saved
    state = fit(saved.state, saved.trained, saved.config, method or convention(saved))
    return replace(saved, state=state, trained=None, resizing=None)


def convention(saved: Saved) -> str:
    """How the library that ``saved`` comes from resizes bias tables; Microsoft's where none is known."""
    if saved.resizing is not None:
        return saved.resizing
    if is_pretrained(saved):
        return "geometric"  # SimMIM's own fine-tuning, whoever wrote the file
    origin = DIALECTS.get(str(saved.metadata.get("format")))
    told = origin.resizing if origin else saved.metadata.get("resizing")  # as a file of ours repeats it
    return str(told) if told in METHODS else USUAL


def is_pretrained(saved: Saved) -> bool:
    """Whether it still has what it painted hidden parts with."""
    return any(name.startswith("reconstruction.") for name in saved.state)


def painted_normalise(saved: Saved) -> int:
    """:attr:`~swinkit.config.Masking.normalise` of the targets that its decoder learned to paint. A checkpoint of SimMIM's own does not
    record it: of Microsoft's V2 it is what was published (arXiv 2111.09883, appendix A2)."""
    if saved.masking is not None:
        return saved.masking.normalise
    published = saved.config.version == 2 and saved.metadata.get("format") in ("microsoft", "simmim")
    return PUBLISHED_NORMALISE if published and is_pretrained(saved) else 0


def handed_over(saved: Saved, image_size: Size) -> Saved:
    """What was learned without labels, meant for pictures of ``image_size``: windows grow and shrink with them, 192/6 to 224/7.

    Sparse, the encoder saw compacted pictures and has their windows, whose tokens lie :data:`~swinkit.weights.resize.APART` apart.
    """
    assert saved.masking is not None
    seen = compacted(saved.config, saved.masking)
    far = on_whole_pictures(seen) if saved.masking.sparse else seen
    meant = meant_for(replace(saved, config=far), image_size, scaled_window(saved.config, image_size))
    return replace(meant, trained=seen, resizing="compacted" if saved.masking.sparse else None)


def scaled_window(config: SwinConfig, size: Size) -> Size:
    """The window that covers the same share of pictures of ``size``, where that is a whole number of patches and enough of them."""
    sides = zip(config.window_size, size, config.image_size, strict=True)
    height, width = (
        extent if extent * now % then else large_enough(extent * now // then, extent) for extent, now, then in sides
    )
    return height, width


def large_enough(extent: int, most: int) -> int:
    """``extent`` tokens along a window, doubled until they are :data:`FEWEST`, since that still tiles most maps, but not above ``most``."""
    while extent < FEWEST and 2 * extent <= most:
        extent *= 2
    return extent


def in_geometry(saved: Saved, geometry: str, method: str | None = None) -> Saved:
    """``saved`` as ``geometry`` computes it: another function at the same weights, as when a classifier starts a detector.

    A bias table that shrank with its window is resized to the configured one, or back.
    """
    config = SwinConfig.model_validate({**saved.config.model_dump(), "geometry": geometry})
    config = with_pretrained_windows(config, saved.config)
    state, metadata = fit(saved.state, saved.config, config, method or convention(saved)), without(saved.metadata, "metrics")
    return replace(saved, config=config, state=state, metadata=metadata)


def backbone_alone(saved: Saved, *, keep_norms: bool) -> Saved:
    """``saved`` without head and reconstruction, and unless ``keep_norms`` without the norms of its earlier outputs."""
    left = (HEAD, "reconstruction.", *(() if keep_norms else ("output_norms.",)))
    state = {name: tensor for name, tensor in saved.state.items() if not name.startswith(left)}
    config, metadata = saved.config.model_copy(update={"num_classes": 0}), without(saved.metadata, *OF_ANSWERS)
    return replace(saved, config=config, classes=(), state=state, metadata=metadata)


def with_outputs(saved: Saved, rows: Sequence[int], classes: Sequence[str]) -> Saved:
    """``saved`` with ``rows`` of its head as outputs, called ``classes``: output i is what output ``rows[i]`` was."""
    state = dict(saved.state)
    for name in [name for name in state if name.startswith(HEAD)]:
        state[name] = state[name][torch.tensor(list(rows))]
    config = saved.config.model_copy(update={"num_classes": len(rows)})
    return replace(saved, config=config, classes=tuple(classes), state=state, metadata=without(saved.metadata, *OF_ANSWERS))


def mapped(saved: Saved, path: Path) -> Saved:
    """``saved`` with the outputs that ``path`` lists, a number a line, as Microsoft's ``map22kto1k.txt`` does.

    Raises :class:`UsageError` naming the line for what is no number, no output of this head, or there twice.
    """
    count, rows = saved.config.num_classes, []
    for number, line in enumerate(read_lines(path), 1):
        if not line.isdecimal() or int(line) >= count:
            raise UsageError(f"{path}, line {number}: expected an output of the head, 0 to {count - 1}, got {line!r}")
        if int(line) in rows:
            raise UsageError(f"{path}, line {number}: {line} is there twice. One output becomes one class; mend: leave one out")
        rows.append(int(line))
    return with_outputs(saved, rows, [saved.classes[row] for row in rows])


def chosen(saved: Saved, path: Path) -> Saved:
    """``saved`` with the outputs whose class names ``path`` lists, a name a line, in that order.

    Raises :class:`UsageError` for names that the model does not know, or knows twice.
    """
    names = read_lines(path)
    unknown = [name for name in names if saved.classes.count(name) != 1]
    if unknown or len(set(names)) < len(names):
        wrong = unknown or [name for name in names if names.count(name) > 1]
        some = ", ".join(map(repr, saved.classes[:5]))
        raise UsageError(
            f"{path}: {len(wrong)} of {len(names)} names are not one class of this model each ({', '.join(map(repr, wrong[:5]))}). "
            f"It has {len(saved.classes)}: {some}, … Mend: use its names, or give the outputs by number with --head-map"
        )
    return with_outputs(saved, [saved.classes.index(name) for name in names], names)


def renamed(saved: Saved, path: Path) -> Saved:
    """``saved`` with the class names that ``path`` lists, one per output."""
    names = read_lines(path)
    if len(names) != saved.config.num_classes:
        raise UsageError(f"{path} has {len(names)} names, but the model has {saved.config.num_classes} outputs; give one each")
    return replace(saved, classes=tuple(names))


def read_lines(path: Path) -> list[str]:
    """Lines of a text file without what surrounds them; blank ones at its end do not count."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as fault:
        raise UsageError(f"{path} cannot be read as text: {fault}") from None
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if not lines or not all(lines):
        raise UsageError(f"{path}: expected one entry a line, found an empty one")
    return lines


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes, types and values of ``state``: equal for the same weights in whatever file they lie."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        if tensor.numel():
            digest.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
