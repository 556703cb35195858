"""The language in which foreign parameter names are written down: rows that are read in both directions.

A row pairs names of swinkit with names of another library. Placeholders stand for numbers and for the last part of a name:
``{i}`` stage, ``{before}`` the stage before it, ``{number}`` stage counted from 1, ``{even}`` and ``{odd}`` 2i and 2i + 1,
``{last}`` the last stage, ``{j}`` block, ``{leaf}`` weight or bias, ``{p}`` what the library puts before the backbone, ``{outer}``
the same without the last name in it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ...config import SwinConfig
from ...model.position_bias import log_spaced_coordinates, relative_position_index
from ...model.windows import shift_mask, shift_size

Tensors = tuple[Tensor, ...]
BLOCK = "backbone.stages.{i}.blocks.{j}."
MERGE = "backbone.stages.{i}.merge."

# parts of a model beside its backbone, and how their names begin
PARTS = {"norm": "norm.", "head": "head.", "output_norms": "output_norms.", "reconstruction": "reconstruction."}


@dataclass(frozen=True)
class Transform:
    """A named difference between their tensors and ours; ``export`` gives theirs, ``restore`` ours."""

    name: str
    export: Callable[[Tensors, SwinConfig], Tensors] = lambda tensors, config: tensors
    restore: Callable[[Tensors, SwinConfig], Tensors] = lambda tensors, config: tensors


SAME = Transform("same")


def _to_unfold(tensors: Tensors, config: SwinConfig) -> Tensors:
    (x,) = tensors
    columns = x.view(*x.shape[:-1], 2, 2, -1)  # ours: column, row, channel
    return (columns.permute(*range(x.ndim - 1), -1, -2, -3).reshape(x.shape),)


def _from_unfold(tensors: Tensors, config: SwinConfig) -> Tensors:
    (x,) = tensors
    channels = x.view(*x.shape[:-1], -1, 2, 2)  # nn.Unfold: channel, row, column
    return (channels.permute(*range(x.ndim - 1), -1, -2, -3).reshape(x.shape),)


def _without_keys(tensors: Tensors, config: SwinConfig) -> Tensors:
    queries, _, values = tensors[0].chunk(3)
    return queries, values


THIRDS = Transform("queries, keys and values apart", lambda t, c: t[0].chunk(3), lambda t, c: (torch.cat(t),))
ZERO_KEYS = Transform(
    "a bias of keys that is zero", lambda t, c: (torch.cat((t[0], torch.zeros_like(t[0]), t[1])),), _without_keys
)
UNFOLD = Transform("merge order of nn.Unfold", _to_unfold, _from_unfold)
FLAT = Transform(
    "rows and columns in one axis", lambda t, c: (t[0].flatten(1, 2),), lambda t, c: (t[0].unflatten(1, c.grid(0)),)
)


class Row(NamedTuple):
    """Names of ours and theirs; several of one side where a tensor is split, in the order that ``transform`` takes."""

    ours: str | tuple[str, ...]
    theirs: str | tuple[str, ...]
    transform: Transform = SAME


class Buffer(NamedTuple):
    """A tensor that follows from the configuration: must be right if present, and is written where the library wants it.

    ``make`` takes configuration, stage and block, and returns nothing where the library has no such tensor.
    """

    theirs: str
    make: Callable[[SwinConfig, int, int], Tensor | None]
    written: bool = True


class Pair(NamedTuple):
    """A row for particular tensors."""

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    transform: Transform


@dataclass(frozen=True)
class Dialect:
    """How one library names and shapes the weights of a Swin.

    ``rows`` and ``buffers`` are per version. ``prefix`` is what this library puts before its backbone when swinkit writes;
    when it reads, the prefix is found (``prefixes`` limits it). ``refuses`` says what the library cannot compute.
    ``resizing`` is its convention for bias tables of version 1; ``unused`` names tensors it saves that no output depends on.
    """

    name: str
    title: str
    rows: dict[int, tuple[Row, ...]]
    buffers: dict[int, tuple[Buffer, ...]] = field(default_factory=dict)
    prefix: dict[int, str] = field(default_factory=lambda: {1: "", 2: ""})
    prefixes: tuple[str, ...] | None = None
    refuses: Callable[[SwinConfig], list[str]] = lambda config: []
    resizing: str = "bicubic"
    unused: tuple[str, ...] = ()

    def pairs(self, ours: Iterable[str], config: SwinConfig, prefix: str) -> tuple[list[Pair], list[str]]:
        """Each name of ``ours`` in a pair with its foreign names; and the names for which there is no row."""
        found, left = [], dict.fromkeys(ours)
        for row in self.rows[config.version]:
            own, theirs = _tuple(row.ours), _tuple(row.theirs)
            for match in filter(None, map(_pattern(own[0]).fullmatch, list(left))):
                values = _values(match, config.num_stages - 1, prefix)
                names = tuple(name.format_map(values) for name in own)
                if all(name in left for name in names):
                    found.append(Pair(names, tuple(name.format_map(values) for name in theirs), row.transform))
                    for name in names:
                        del left[name]
        return found, list(left)

    def name_of(self, ours: str, version: int, prefix: str) -> str | None:
        """The first foreign name of the tensor ``ours``, or nothing if there is no row for it."""
        for row in self.rows[version]:
            for own in _tuple(row.ours):
                if match := _pattern(own).fullmatch(ours):
                    return _tuple(row.theirs)[0].format_map(_values(match, 0, prefix))
        return None

    def computed(self, config: SwinConfig, prefix: str) -> dict[str, tuple[Buffer, int, int]]:
        """Foreign names of buffers, with what makes them and the stage and block they belong to."""
        places = [(i, j) for i, depth in enumerate(config.depths) for j in range(depth)]
        return {
            self.buffer_name(buffer, prefix, i, j): (buffer, i, j)
            for buffer in self.buffers.get(config.version, ())
            for i, j in places
        }

    def ignored(self, prefix: str) -> set[str]:
        """Foreign names of what the library saves and does not use."""
        return {name.format(p=prefix) for name in self.unused}

    def buffer_name(self, buffer: Buffer, prefix: str, i: int, j: int) -> str:
        """Foreign name of ``buffer`` in block ``j`` of stage ``i``."""
        return buffer.theirs.format_map({**_numbers(i, j), "p": prefix})


def _tuple(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    escaped = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
    return re.compile(
        escaped.replace("{i}", r"(?P<i>\d+)").replace("{j}", r"(?P<j>\d+)").replace("{leaf}", "(?P<leaf>weight|bias)")
    )


def _numbers(i: int, j: int) -> dict[str, int | str]:
    return {"i": i, "before": i - 1, "number": i + 1, "even": 2 * i, "odd": 2 * i + 1, "j": j}


def _values(match: re.Match[str], last: int, prefix: str) -> dict[str, int | str]:
    found = match.groupdict()
    fixed: dict[str, int | str] = {"p": prefix, "last": last, "last_number": last + 1, "leaf": found.get("leaf", "")}
    fixed["outer"] = outer_of(prefix)
    return _numbers(int(found.get("i", 0)), int(found.get("j", 0))) | fixed


def outer_of(prefix: str) -> str:
    """``prefix`` without the last name in it: where the head lies of a library that puts its backbone below a name."""
    return prefix.removesuffix(".").rpartition(".")[0] + "." if prefix.count(".") > 1 else ""


def rounds_down(config: SwinConfig) -> list[str]:
    """The reason against ``config`` in a library that settles windows by maps whose odd sides it rounds down."""
    height, width = config.grid(0)
    lower = [(height >> stage, width >> stage) for stage in range(config.num_stages)]
    for stage in range(config.num_stages if config.geometry == "classification" else 0):
        if tuple(map(min, config.window_size, lower[stage])) != config.stage_window(stage):
            by = "x".join(map(str, config.image_size))
            return [f"pictures of {by} give stage {stage + 1} an odd map, whose half it rounds down when it settles the window"]
    return []


def index(config: SwinConfig, stage: int, block: int) -> Tensor:
    """``relative_position_index`` of most libraries, (N, N)."""
    return relative_position_index(config.stage_window(stage))


def flat_index(config: SwinConfig, stage: int, block: int) -> Tensor:
    """``relative_position_index`` of torchvision, (N * N,)."""
    return index(config, stage, block).flatten()


def coordinates(config: SwinConfig, stage: int, block: int) -> Tensor:
    """``relative_coords_table``, (1, 2h-1, 2w-1, 2)."""
    window = config.stage_window(stage)
    return log_spaced_coordinates(window, config.pretrained_window(stage)).view(1, 2 * window[0] - 1, 2 * window[1] - 1, 2)


def native_mask(config: SwinConfig, stage: int, block: int) -> Tensor | None:
    """``attn_mask`` of shifted blocks at the configured picture size, (nW, N, N); the others have none."""
    window, grid = config.stage_window(stage), config.grid(stage)
    counts = grid[0] // window[0], grid[1] // window[1]
    shift = shift_size(window, counts, False)
    if block % 2 == 0 or not all(shift) or any(side % extent for side, extent in zip(grid, window, strict=True)):
        return None
    return shift_mask(window, counts, shift, torch.empty(()))


def no_key_bias(config: SwinConfig, stage: int, block: int) -> Tensor:
    """Keys of version 2 have no bias, (C,)."""
    return torch.zeros(config.widths[stage])
