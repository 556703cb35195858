"""A picture and a model's answer explained: one :class:`View` for each way of looking, with its verdict. Free of files and pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.transforms import evaluation
from ..errors import UsageError
from .attention import Attention, attention_of
from .facts import AttentionFacts, ClassFacts, Facts, FieldFacts, RolloutFacts
from .field import field_side, receptive_field
from .frame import Box, Frame
from .methods import METHODS
from .scores import Target
from .seeing import Place, backbone_of, index_of
from .trust import Forgotten, MapOf, Trust, TrustSettings, Worth, forgotten_by, random_deletions, trust


@dataclass(frozen=True)
class View:
    """One map of a picture: ``values`` (H, W) on the model's input, ``key`` for file names, ``trust`` where it was checked.

    ``boxes`` are outlined, in pixels of the model's input; ``facts`` are figures that belong to it.
    """

    key: str
    title: str
    caption: str
    values: Tensor = field(repr=False)
    facts: Facts
    trust: Trust | None = None
    boxes: Sequence[Box] = ()
    smooth: bool = True

    @property
    def peak(self) -> tuple[int, int] | None:
        """(row, column) of the strongest pixel of the model's input; None of an empty map, which has nothing above 0."""
        if not bool((self.values > 0).any()):
            return None
        row, column = divmod(int(self.values.argmax()), self.values.shape[1])
        return row, column


class Explainer:
    """A model and a picture (H, W, C) as :func:`swinkit.data.decode.decode` gives it, ready for every way of looking.

    ``checked`` measures trust with each view, which takes most of the time; ``thorough`` are other settings for it. ``targets`` are
    those that will be asked about: what random orders do to them is then measured once for all.
    """

    def __init__(self, model: nn.Module, picture: np.ndarray, checked: bool = True, **thorough: Any) -> None:
        description: Any = model.preprocessing
        device = next(model.parameters()).device
        self.model = model
        self.picture = picture
        self.frame = Frame.of(description, *picture.shape[:2])
        self.image = evaluation(description)(picture)[None].to(device)
        self.checked, self.thorough = checked, thorough
        self.config = backbone_of(model).config
        self.targets: Sequence[Target] = ()

    @cached_property
    def outputs(self) -> Any:
        with torch.no_grad():
            return self.model(self.image)

    def share(self, target: Target) -> float:
        """What the model gives ``target``, in 0..1."""
        return float(target.share(self.outputs))

    def of_target(self, target: Target, method: str = "cam") -> View:
        """Why ``target``: the map of one of :data:`METHODS`. Raises :class:`UsageError` for another name.

        A map is empty where nothing in the picture speaks for ``target``. It says so, and is not checked: it marks no place.
        """
        if method not in METHODS:
            raise UsageError(f"There is no method {method!r}. Known: {', '.join(METHODS)}")
        way = METHODS[method]

        def worth(model: nn.Module, images: Tensor) -> Tensor:
            return target.share(model(images))

        settings = self._settings(self.config.strides[-1])
        explain = way.maker(target, settings.seed)
        view = View(method, way.title, way.caption, self._map(explain), RolloutFacts(target.name))
        if way.by_class:
            key, title = f"{method}-{target.name}", f"{way.title}: {target.name}"
            view = replace(view, key=key, title=title, facts=ClassFacts(target.name))
        if view.peak is None:
            return replace(
                view, caption=f"No token of this picture speaks for {target.name}, so the map is empty. {way.caption}"
            )
        chance = self._class_chance.get(target) if self.checked and target in self.targets else None
        return replace(view, trust=self._verdict(explain, worth, settings, chance))

    def of_attention(self, x: float, y: float, stage: int | None = None, block: int = -1) -> View:
        """Whom the token under the picture's pixel ``x``, ``y`` attends to, heads averaged, over its true window.

        By default in the deepest stage that has more than one window. Raises :class:`UsageError` for a pixel that the model does
        not see and for a block that is not there.
        """
        stage = self.windowed if stage is None else index_of(stage, self.config.num_stages, "stage")
        shown = attention_of(self.model, self.image, stage, block)
        row, column = self.token_at(x, y, shown.stride)
        look = partial(_attention_map, place=(shown.stage, shown.block), token=(row, column))
        partners = shown.partners(row, column)
        worth = partial(_token_kept, place=(shown.stage, shown.block), token=(row, column), image=self.image)
        others = partners & ~_only(partners, row, column)  # its own patch reaches it by the residual, attended to or not
        settings = self._settings(shown.stride, pairs=9, among=others)
        verdict = self._verdict(look, worth, settings) if int(others.sum()) > 1 else None
        window, token = _span(partners, shown.stride), _span(_only(partners, row, column), shown.stride)
        heads = shown.of_token(row, column)[0]
        return View(
            f"attention-stage{shown.stage + 1}-block{shown.block + 1}",
            f"Attention of one patch, stage {shown.stage + 1}, block {shown.block + 1} ({'shifted' if shown.shifted else 'regular'} windows)",
            "Softmax rows of the model's own forward pass, averaged over heads; the outer box is the window in which the patch "
            "really attends, the inner one the patch.",
            self._map(look),
            AttentionFacts(
                shown.block + 1, (row, column), self.frame.box_of(window), heads, shown.size,
                entropy_bits=shown.entropy().tolist(), reach_tokens=shown.reach().tolist(),
                padding_share_of_patch=float((1 - heads.sum((1, 2))).mean().clamp_min(0)),
                padding_share_of_all_patches=shown.padding_share(), stride=shown.stride, tokens_in_window=int(partners.sum()),
            ),
            verdict, (window, token), smooth=False,
        )  # fmt: skip

    def of_field(self, stage: int) -> View:
        """Which pixels the middle token of ``stage`` depends on."""
        stride, token = self.config.strides[stage], self._middles[stage]
        look = partial(receptive_field, stage=stage)
        worth = partial(_token_kept, place=(stage, -1), token=token, image=self.image)
        chance = self._field_chance[..., stage] if self.checked else None
        verdict = self._verdict(look, worth, self._settings(self.config.strides[-1], pairs=9), chance)
        values = self._map(look)
        sides = {share: float(field_side(values[None], share)) for share in (0.5, 0.95)}
        box = _span(_only(torch.zeros(token[0] + 1, token[1] + 1, dtype=torch.bool), *token), stride)
        return View(
            f"field-stage{stage + 1}", f"Receptive field, stage {stage + 1}",
            "Which pixels the marked token depends on, by the squared gradient; the root is drawn.",
            values.sqrt(), FieldFacts(sides), verdict, (box,),
        )  # fmt: skip

    def token_at(self, x: float, y: float, stride: int) -> Place:
        """(row, column) of the token of ``stride`` pixels under the picture's pixel ``x``, ``y``."""
        pixel = self.frame.input_of(x, y)
        if pixel is None:
            left, top, right, bottom = (round(end) for end in self.frame.seen)
            raise UsageError(
                f"The model does not see pixel {x:g},{y:g} of this picture of {self.frame.picture[1]} x {self.frame.picture[0]}; "
                f"it sees x from {left} to {right - 1} and y from {top} to {bottom - 1}"
            )
        return pixel[0] // stride, pixel[1] // stride

    @property
    def windowed(self) -> int:
        """The deepest stage whose map holds more than one window, else the first."""
        sides = self.image.shape[-2:]
        for stage in reversed(range(self.config.num_stages)):
            grid = [-(-side // self.config.strides[stage]) for side in sides]
            if any(have > window for have, window in zip(grid, self.config.stage_window(stage), strict=True)):
                return stage
        return 0

    def _map(self, explain: MapOf) -> Tensor:
        return explain(self.model, self.image)[0].detach().float().cpu()

    @cached_property
    def _middles(self) -> list[Place]:
        """The middle token of each stage."""
        sides = self.image.shape[-2:]
        grids = [[-(-side // stride) for side in sides] for stride in self.config.strides]
        return [(rows // 2, columns // 2) for rows, columns in grids]

    @cached_property
    def _class_chance(self) -> dict[Target, Tensor]:
        """Shares of each of ``targets`` along random orders, (2 pairs, points)."""

        def worth(model: nn.Module, images: Tensor) -> Tensor:
            outputs = model(images)
            return torch.stack([target.share(outputs) for target in self.targets], dim=-1)

        found = random_deletions(self.model, self.image, worth, self._settings(self.config.strides[-1]))
        return dict(zip(self.targets, found.unbind(-1), strict=True))

    @cached_property
    def _field_chance(self) -> Tensor:
        """Likeness of the middle tokens of all stages along random orders, (2 pairs, points, stages)."""
        original = _maps(self.model, self.image)

        def worth(model: nn.Module, images: Tensor) -> Tensor:
            changed = zip(original, _maps(model, images), self._middles, strict=True)
            return torch.stack([_likeness(before, after, token) for before, after, token in changed], dim=-1)

        return random_deletions(self.model, self.image, worth, self._settings(self.config.strides[-1], pairs=9))

    def _settings(self, cell: int, **special: Any) -> TrustSettings:
        return TrustSettings(cell, **{**special, **self.thorough})

    def _verdict(self, explain: MapOf, worth: Worth, settings: TrustSettings, chance: Tensor | None = None) -> Trust | None:
        return trust(self.model, self.image, explain, worth, settings, chance, self._forgotten) if self.checked else None

    @cached_property
    def _forgotten(self) -> Forgotten:
        return forgotten_by(self.model, self._settings(self.config.strides[-1]))


def _attention_map(model: nn.Module, images: Tensor, place: Place, token: Place) -> Tensor:
    shown = attention_of(model, images, *place)
    return _enlarged(shown.of_token(*token).mean(dim=1), shown, images)


def _enlarged(maps: Tensor, shown: Attention, images: Tensor) -> Tensor:
    larger = F.interpolate(maps[:, None], scale_factor=shown.stride, mode="nearest")[:, 0]
    return larger[:, : images.shape[2], : images.shape[3]]


def _token_kept(model: nn.Module, images: Tensor, place: Place, token: Place, image: Tensor) -> Tensor:
    """How alike a token behind block ``place`` is to itself in ``image`` (1, channels, H, W): (B,)."""
    found = _block_output(model, torch.cat((image, images)), place)
    return _likeness(found[:1], found[1:], token)


def _likeness(before: Tensor, after: Tensor, token: Place) -> Tensor:
    """Cosines between a token of maps ``after`` (B, H, W, C) and of ``before`` (1, H, W, C), less what its map has in common."""
    common = before.mean(dim=(1, 2))
    row, column = token
    return F.cosine_similarity(after[:, row, column] - common, before[:, row, column] - common, dim=1)


@torch.no_grad()
def _maps(model: nn.Module, images: Tensor) -> list[Tensor]:
    backbone = backbone_of(model)
    return backbone.run_stages(backbone.embed(images))


def _block_output(model: nn.Module, images: Tensor, place: Place) -> Tensor:
    """The map (B, H, W, C) behind block ``place``; what comes after its stage is not computed."""
    backbone = backbone_of(model)
    kept: list[Tensor] = []
    block = backbone.stages[place[0]].blocks[place[1]]  # type: ignore[union-attr, index]
    handle = block.register_forward_hook(lambda _, __, output: kept.append(output))  # type: ignore[union-attr]
    try:
        with torch.no_grad():
            x = backbone.embed(images)
            for stage in backbone.stages[: place[0] + 1]:  # type: ignore[union-attr]
                x = stage(x)
    finally:
        handle.remove()
    return kept[0]


def _only(like: Tensor, row: int, column: int) -> Tensor:
    answer = torch.zeros_like(like)
    answer[row, column] = True
    return answer


def _span(tokens: Tensor, stride: int) -> Box:
    """The box of the marked ``tokens`` (H, W) in pixels of the model's input."""
    rows, columns = tokens.any(1).nonzero()[:, 0], tokens.any(0).nonzero()[:, 0]
    return int(columns[0]) * stride, int(rows[0]) * stride, (int(columns[-1]) + 1) * stride, (int(rows[-1]) + 1) * stride
