"""What a state dict is: dialect, version, architecture, and the window and picture size where the file knows them.

Nothing is invented. Version 1 shows its windows by its bias tables; the weights of version 2 fit every window, so they are known only
where a file saved the buffers that follow from them. The rest is told by the caller, see :mod:`~swinkit.weights.settle`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..config import SwinConfig, as_side
from ..model.windows import Size
from ..variants import VARIANTS
from .formats import DIALECTS
from .formats.table import BLOCK, PARTS, Dialect
from .surroundings import is_averaged, of_dense
from .translation import explained
from .unrecognised import nothing_found

ANCHORS = ("backbone.patch_embed.proj.weight", "backbone.patch_embed.norm.weight")  # by these a prefix is found
DEEPEST = 64  # blocks of one stage that are looked for; the deepest published stage has 42
FREE = ("num_classes", "in_channels", "ape", "qkv_bias")  # fields in which weights may differ from what is said of them
BEYOND = 100.0  # no log-spaced offset is so far
TABLE, POSITION = BLOCK + "attention.bias.table", "backbone.patch_embed.position"
POSITION_AXES = 3  # in other libraries, which flatten the map


@dataclass(frozen=True)
class Recognised:
    """What the names, shapes and saved buffers of a state dict say. None stands for "not recorded".

    ``architecture`` holds fields of :class:`~swinkit.config.SwinConfig` without windows and sizes. ``windows`` and ``pretrained_windows`` are per
    stage: the window, and the one at which log-CPB was trained, a square as one integer. ``image_size`` is the largest that fits; ``exact`` says that no
    other does. ``match`` is the share of names that the dialect explains. ``others`` are prefixes of further networks.
    """

    dialect: Dialect
    version: int
    prefix: str
    architecture: dict[str, Any]
    parts: tuple[str, ...]
    dense: bool
    windows: tuple[Size, ...] | None
    pretrained_windows: tuple[int | Size, ...] | None
    image_size: Size | None
    exact: bool
    match: float
    others: tuple[str, ...] = ()

    @property
    def variants(self) -> tuple[str, ...]:
        """Published variants that it may be, as far as the file says."""
        return tuple(name for name, row in VARIANTS.items() if not disagreements(self, row.config))


def recognise(state: Mapping[str, Tensor]) -> Recognised:
    """The dialect that explains most of ``state``, of a plain network if there is an average or a teacher beside it; raises
    :class:`WeightsError` when no dialect finds a Swin in it."""
    found = [answer for dialect in DIALECTS.values() for answer in _readings(state, dialect)]
    if not found:
        raise nothing_found(state)
    best = max(found, key=lambda answer: (not is_averaged(answer.prefix), answer.match))
    return replace(best, others=tuple(sorted({answer.prefix for answer in found} - {best.prefix})))


def disagreements(recognised: Recognised, config: SwinConfig) -> list[str]:
    """Where ``config``, read as dense if the weights are, contradicts what the file says, one line each."""
    if recognised.dense:
        config = config.model_copy(update={"geometry": "dense"})
    lines = [
        f"{name} is {value} in the file, {getattr(config, name)} in the configuration"
        for name, value in recognised.architecture.items()
        if name not in FREE and not _agrees(config, name, value)
    ]
    if lines:  # stages that differ cannot be compared one by one
        return lines
    stages = range(config.num_stages)
    windows = tuple(config.stage_window(stage) for stage in stages)
    if recognised.windows and recognised.windows != windows:
        lines.append(f"windows of the stages are {recognised.windows} in the file, {windows} in the configuration")
    if recognised.pretrained_windows and recognised.pretrained_windows != config.pretrained_windows:
        lines.append(
            f"pre-training windows are {recognised.pretrained_windows} in the file, {config.pretrained_windows} in the configuration"
        )
    if recognised.image_size and _maps(recognised.image_size, config) != _maps(config.image_size, config):
        lines.append(f"image_size is {recognised.image_size} in the file, {config.image_size} in the configuration")
    return lines


def completed(config: SwinConfig, recognised: Recognised) -> SwinConfig:
    """``config`` with what the weights say in the fields in which they may differ from a description."""
    return config.model_copy(update={name: recognised.architecture[name] for name in FREE})


def _agrees(config: SwinConfig, name: str, value: Any) -> bool:
    if name == "mlp_ratio":  # of which whole channels are all that a file shows
        return config.model_copy(update={name: value}).hidden_widths == config.hidden_widths
    return bool(getattr(config, name) == value)


def _maps(image_size: Size, config: SwinConfig) -> tuple[int, ...]:
    """Sides of the last stage's map, which is all that a shrunken window tells of the picture."""
    return tuple(-(-side // config.strides[-1]) for side in image_size)


def _readings(state: Mapping[str, Tensor], dialect: Dialect) -> Iterator[Recognised]:
    for version in dialect.rows:
        ends = [end for anchor in ANCHORS if (end := dialect.name_of(anchor, version, ""))]
        prefixes = {name.removesuffix(end) for name in state for end in ends if name.endswith(end)}
        for prefix in sorted(prefixes):
            inside = prefix == "" or prefix.endswith(".")
            if inside and (dialect.prefixes is None or prefix.endswith(dialect.prefixes)):
                answer = _Probe(state, dialect, version, prefix).answer()
                if answer:
                    yield answer


class _Probe:
    """One way to read a state dict: a dialect, a version, a prefix."""

    def __init__(self, state: Mapping[str, Tensor], dialect: Dialect, version: int, prefix: str) -> None:
        self.state, self.dialect, self.version, self.prefix = state, dialect, version, prefix

    def find(self, ours: str, axes: int, i: int = 0, j: int = 0) -> Tensor | None:
        """The tensor that is ``ours`` in stage ``i`` and block ``j``, if there is one of so many axes."""
        name = self.dialect.name_of(ours.replace("{i}", str(i)).replace("{j}", str(j)), self.version, self.prefix)
        return _of_axes(self.state.get(name) if name else None, axes)

    def answer(self) -> Recognised | None:
        proj, depths = self.find(ANCHORS[0], 4), self.depths()
        heads = [self.heads(i, depth) for i, depth in enumerate(depths)]
        if proj is None or not depths or None in heads:
            return None
        windows = self.per_stage(depths, self.window)
        architecture = self.architecture(proj, depths, heads)
        names = self.names(architecture)
        if names is None:
            return None
        size, exact = self.image_size(depths, windows, architecture["patch_size"])
        around = of_dense(self.state, self.prefix)
        known = sum(name in names for name in self.state)
        parts = tuple(part for part in PARTS if any(name in self.state for name in names if part in names[name]))
        return Recognised(
            dialect=self.dialect,
            version=self.version,
            prefix=self.prefix,
            architecture=architecture,
            parts=parts,
            dense=self.is_dense(parts, around),
            windows=windows,
            pretrained_windows=self.per_stage(depths, self.pretrained_window),
            image_size=size,
            exact=exact,
            match=known / max(1, len(self.state) - around),
        )

    def depths(self) -> tuple[int, ...]:
        answer: list[int] = []
        while depth := self.depth(len(answer)):
            answer.append(depth)
        return tuple(answer)

    def depth(self, i: int) -> int:
        """Blocks of stage ``i``, of which some may be missing."""
        ends = ("norm1.weight", "norm2.weight")
        there = [j for j in range(DEEPEST) if any(self.find(BLOCK + end, 1, i, j) is not None for end in ends)]
        return max(there, default=-1) + 1

    def heads(self, i: int, depth: int) -> int | None:
        for j in range(depth):
            table, scale = self.find(TABLE, 2, i, j), self.find(BLOCK + "attention.similarity.logit_scale", 3, i, j)
            if self.version == 1 and table is not None:
                return table.shape[1]
            if self.version == 2 and scale is not None:
                return scale.shape[0]
        return None

    def architecture(self, proj: Tensor, depths: tuple[int, ...], heads: list[int | None]) -> dict[str, Any]:
        head = self.find("head.weight", 2)
        extra = [j + 1 for j in range(depths[0]) if self.find(BLOCK + "norm3.weight", 1, 0, j) is not None]
        third = max(range(len(depths)), key=lambda i: depths[i])
        extra = extra or [j + 1 for j in range(depths[third]) if self.find(BLOCK + "norm3.weight", 1, third, j) is not None]
        bias = "attention.qkv.bias" if self.version == 1 else "attention.q_bias"
        return {
            "version": self.version, "embed_dim": proj.shape[0], "in_channels": proj.shape[1], "patch_size": proj.shape[2],
            "depths": depths, "num_heads": tuple(heads), "extra_norm_every": extra[0] if extra else 0,
            "mlp_ratio": self.mlp_ratio(depths),
            "qkv_bias": any(self.find(BLOCK + bias, 1, 0, j) is not None for j in range(depths[0])),
            "ape": self.find(POSITION, POSITION_AXES) is not None,
            "num_classes": head.shape[0] if head is not None else 0,
        }  # fmt: skip

    def mlp_ratio(self, depths: tuple[int, ...]) -> float:
        """By the last stage, whose width lets the least be rounded away; every other stage's hidden layer follows from it."""
        for j in range(depths[-1]):
            hidden = self.find(BLOCK + "mlp.fc1.weight", 2, len(depths) - 1, j)
            if hidden is not None:
                return hidden.shape[0] / hidden.shape[1]
        return 4.0

    def names(self, architecture: dict[str, Any]) -> dict[str, set[str]] | None:
        """Every name that this reading explains, with the parts it belongs to; nothing if such a network cannot be."""
        try:
            config = SwinConfig.model_validate({**architecture, "num_classes": architecture["num_classes"] or 1})
        except ValueError:
            return None
        return explained(config, self.dialect, self.prefix)

    def buffer(self, name: str, i: int, j: int) -> Tensor | None:
        for buffer in self.dialect.buffers.get(self.version, ()):
            if buffer.theirs.endswith(name):
                return self.state.get(self.dialect.buffer_name(buffer, self.prefix, i, j))
        return None

    def per_stage(self, depths: tuple[int, ...], ask: Any) -> tuple[Any, ...] | None:
        """What ``ask`` finds in some block of each stage; nothing if a stage does not tell."""
        answers = [next((one for j in range(depth) if (one := ask(i, j)) is not None), None) for i, depth in enumerate(depths)]
        return None if None in answers else tuple(answers)

    def coordinates(self, i: int, j: int) -> Tensor | None:
        found = _of_axes(self.buffer("relative_coords_table", i, j), 4)
        return found if found is not None and found.shape[-1] == 2 else None

    def window(self, i: int, j: int) -> Size | None:
        coordinates = self.coordinates(i, j)
        if coordinates is not None:
            return (coordinates.shape[1] + 1) // 2, (coordinates.shape[2] + 1) // 2
        table, index = self.find(TABLE, 2, i, j), self.buffer("relative_position_index", i, j)
        if table is not None:
            side = _root(table.shape[0])
        else:
            side = _root(_root(index.numel())) if index is not None else None
            side = 2 * side - 1 if side else None
        return ((side + 1) // 2, (side + 1) // 2) if side and side % 2 else None

    def pretrained_window(self, i: int, j: int) -> int | Size | None:
        coordinates, window = self.coordinates(i, j), self.window(i, j)
        return None if coordinates is None or window is None else pretrained_window_of(coordinates, window)

    def image_size(self, depths: tuple[int, ...], windows: tuple[Size, ...] | None, patch: int) -> tuple[Size | None, bool]:
        """The largest picture size in pixels that fits, and whether it is told rather than bounded."""
        position = self.find(POSITION, POSITION_AXES)
        if position is not None and (side := _root(position.shape[1])):
            return (side * patch, side * patch), True
        for i, depth in enumerate(depths if windows else ()):
            masks = [mask for j in range(depth) if (mask := _of_axes(self.buffer("attn_mask", i, j), 3)) is not None]
            if masks and windows and (count := _root(masks[0].shape[0])):
                return (count * windows[i][0] * patch * 2**i, count * windows[i][1] * patch * 2**i), True
        smaller = [i for i, window in enumerate(windows or ()) if windows and window != windows[0]]
        if smaller and windows:  # a window that shrank is the stage's whole map, whose sides were rounded up
            stride = patch * 2 ** smaller[0]
            return (windows[smaller[0]][0] * stride, windows[smaller[0]][1] * stride), False
        return None, False

    def is_dense(self, parts: tuple[str, ...], around: int) -> bool:
        """As detection and segmentation are trained, which have no head of a classifier. transformers' backbones of version 2 shrink
        windows as classifiers do."""
        outputs = "output_norms" in parts or self.dialect.name.startswith(("microsoft-dense", "transformers-backbone"))
        return (
            "head" not in parts
            and (outputs or around > 0)
            and not (self.version == 2 and self.dialect.name.startswith("transformers"))
        )


def pretrained_window_of(coordinates: Tensor, window: Size) -> int | Size | None:
    """The window at which log-CPB was trained, of its ``coordinates`` (…, 2) for ``window`` (V2, equation 4); None where they are none.

    An axis of one patch has only the offset 0 and tells nothing; any window serves it, such as the other axis'.
    """
    sides = []
    for axis, side in enumerate(window):
        farthest = float(coordinates[..., axis].float().max())
        if side > 1 and not 0 < farthest < BEYOND:
            return None
        sides.append(round(8 * (side - 1) / (8**farthest - 1)) + 1 if side > 1 else 0)
    height, width = sides
    return as_side((height or width or 1, width or height or 1))


def _of_axes(tensor: Tensor | None, axes: int) -> Tensor | None:
    """``tensor``, if there is one with so many axes and any numbers; what is not, no shape can be asked of, and `restore` lists it."""
    return tensor if tensor is not None and tensor.ndim == axes and tensor.numel() else None


def _root(value: int | None) -> int | None:
    return math.isqrt(value) if value and math.isqrt(value) ** 2 == value else None
