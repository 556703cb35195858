"""From the views of a picture to painted PNGs, the page and JSON: what ``explain`` writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...data.rgb import as_rgb, png_bytes
from ...explain.explanation import Explainer, View
from ...explain.facts import AttentionFacts, ClassFacts, FieldFacts, RolloutFacts
from ...explain.paint import outlined, paint_over, stamped
from ...explain.scores import likeliest
from ...report.explained import ExplainedPage, Figure, Group, write_explained
from ...weights.atomic import write_atomically, write_json
from ...weights.attached import attached
from ...weights.saved import sentences
from .asked import Asked
from .biases import biases
from .verdicts import empties, judged, meanings, verdict_of

SHOWN = 640  # pixels of the longer side of a painted picture


@dataclass(frozen=True)
class Looked:
    """Views under one heading; ``small`` ones stand side by side."""

    heading: str
    lead: str
    views: Sequence[View]
    small: bool = False


@dataclass
class Studio:
    """Paints the views of one picture and keeps the PNGs in ``folder``; ``files`` lists them."""

    explainer: Explainer
    folder: Path
    files: dict[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> tuple[int, int]:
        """(height, width) at which the whole picture is painted: tiny ones enlarged, large ones reduced."""
        height, width = self.explainer.frame.picture
        scale = SHOWN / max(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))

    @property
    def picture(self) -> np.ndarray:
        """The picture as it is shown, (H, W, 3) uint8."""
        pixels = as_rgb(self.explainer.picture)
        height, width = self.shown
        enlarging = max(self.shown) > 2 * max(pixels.shape[:2])
        how = Image.Resampling.NEAREST if enlarging else Image.Resampling.LANCZOS
        return np.asarray(Image.fromarray(pixels).resize((width, height), how))

    def framed(self) -> np.ndarray:
        """The picture with what the model sees of it outlined."""
        return outlined(self.picture, [self._scaled(self.explainer.frame.seen)])

    def painted(self, view: View) -> np.ndarray:
        """The view over the picture, its boxes outlined, and what it fails written on it."""
        frame = self.explainer.frame
        values = frame.to_picture(view.values[None], self.shown, view.smooth)[0].numpy()
        picture = paint_over(self.picture, values)
        picture = outlined(picture, [self._scaled(frame.box_of(box)) for box in view.boxes])
        if view.trust is not None and not view.trust.passed:
            picture = stamped(picture, f"NOT TO BE TRUSTED: fails {' and '.join(view.trust.failed)}")
        return picture

    def figure(self, view: View, small: bool = False) -> Figure:
        """The painted view, which is also written as a PNG."""
        picture = self.painted(view)
        self.keep(view.key, picture)
        return Figure(picture, view.title, view.caption, verdict_of(view), facts_of(view), small)

    def heads(self, view: View) -> list[Figure]:
        """Attention of each head of an attention view, small; none of another view."""
        facts, frame = view.facts, self.explainer.frame
        if not isinstance(facts, AttentionFacts):
            return []
        maps = torch.nn.functional.interpolate(facts.heads[:, None].float().cpu(), scale_factor=facts.stride, mode="nearest")
        maps = maps[:, 0, : frame.size[0], : frame.size[1]]
        figures = []
        for head, values in enumerate(frame.to_picture(maps, self.shown, smooth=False).numpy()):
            picture = outlined(paint_over(self.picture, values), [self._scaled(frame.box_of(box)) for box in view.boxes])
            told = f"entropy {facts.entropy_bits[head]:.1f} bits, reach {facts.reach_tokens[head]:.1f} tokens"
            figures.append(Figure(picture, f"block {facts.block}, head {head + 1}", f"over all patches: {told}", small=True))
        return figures

    def keep(self, key: str, picture: np.ndarray) -> None:
        name = f"{safe_name(key)}.png"
        if name in self.files.values():  # two classes may differ in characters that a file name cannot have
            name = f"{safe_name(key)}-{len(self.files)}.png"
        write_atomically(self.folder / name, png_bytes(picture, optimize=True))
        self.files[key] = name

    def _scaled(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        down, across = (shown / have for shown, have in zip(self.shown, self.explainer.frame.picture, strict=True))
        left, top, right, bottom = box
        return left * across, top * down, right * across, bottom * down


def safe_name(text: str) -> str:
    """``text`` as a part of a file name that every system accepts."""
    kept = "".join(char if char.isalnum() or char in "-_." else "_" for char in text).strip(".")
    return kept.encode()[:80].decode(errors="ignore") or "map"  # names are limited in bytes


def facts_of(view: View) -> dict[str, str]:
    """The figures of a view in words."""
    match view.facts:
        case ClassFacts() | RolloutFacts():
            return {}
        case AttentionFacts(token=(row, column), size=(rows, columns)) as facts:
            pixels = f"{facts.stride} pixels of the model's input each"
            return {
                "patch": f"row {row + 1}, column {column + 1} of {rows} x {columns}, {pixels}",
                "its window": f"{facts.tokens_in_window} patches",
                "attention to padding": f"{facts.padding_share_of_patch:.1%}",
            }
        case FieldFacts(sides):
            return {
                f"holds {share:.0%}": f"a square of {side:.0f} pixels of the model's input" for share, side in sides.items()
            }


def to_dict(view: View, explainer: Explainer, file: str) -> dict[str, Any]:
    """A view for JSON: ``peak`` (None of an empty map) and ``window`` in pixels of the picture, ``stride`` and ``input_side_of_…`` in those of the
    model's input."""
    peak = None
    if view.peak is not None:
        row, column = view.peak
        left, top, right, bottom = explainer.frame.box_of((column, row, column + 1, row + 1))
        peak = [(left + right) / 2, (top + bottom) / 2]
    answer = {"title": view.title, "file": file, "peak": peak, **view.facts.to_dict()}
    return answer | {"trust": view.trust.to_dict() if view.trust else None}


def write(studio: Studio, looked: Sequence[Looked], asked: Asked) -> dict[str, Any]:
    """PNGs, explain.html and explanation.json in the studio's folder; returns what the last holds."""
    explainer = studio.explainer
    groups = []
    for part in looked:
        figures = [studio.figure(view, part.small) for view in part.views]
        heads = [head for view in part.views for head in studio.heads(view)]
        groups.append(Group(part.heading, part.lead, [*figures, *heads]))
    if asked.atlas:
        groups += biases(explainer, asked.window, asked.resizing, studio.keep)
    answers = [(target.name, explainer.share(target)) for target in likeliest(explainer.model, explainer.outputs, 5)]
    views = [view for part in looked for view in part.views]
    notes, doubts = (
        empties(views) + meanings(views, answers, even_guess(explainer)),
        sentences(attached(explainer.model).metadata, "doubts"),
    )
    page = ExplainedPage(
        title=f"Why {explainer.targets[0].name}?",
        summary=f"{asked.picture.name}, explained by the model {asked.model}. {' '.join([judged(views), *doubts])}", notes=notes,
        picture=studio.framed(), answers=answers, groups=groups, facts=described(explainer), commands=[asked.line],
    )  # fmt: skip
    write_explained(studio.folder / "explain.html", page)
    found = {
        "model": asked.model, "picture": str(asked.picture), "page": str(studio.folder / "explain.html"),
        "answers": [{"class": name, "share": share} for name, share in answers], "seen": explainer.frame.seen,
        "maps": [to_dict(view, explainer, studio.files[view.key]) for view in views], "notes": notes, "doubts": doubts,
        "files": sorted(studio.files.values()),
    }  # fmt: skip
    write_json(studio.folder / "explanation.json", found)
    return found


def even_guess(explainer: Explainer) -> float | None:
    """What each class has of an answer that knows nothing; None where labels are independent."""
    model: Any = explainer.model
    return None if attached(model).multi_label else 1 / model.config.num_classes


def described(explainer: Explainer) -> dict[str, str]:
    height, width = explainer.frame.picture
    rows, columns = explainer.frame.size
    left, top, right, bottom = (round(end) for end in explainer.frame.seen)
    return {
        "picture": f"{width} x {height} pixels",
        "the model sees": f"x {left} to {right - 1}, y {top} to {bottom - 1}, as {columns} x {rows} pixels",
        "architecture": f"Swin V{explainer.config.version}, {'-'.join(map(str, explainer.config.depths))} blocks",
    }
