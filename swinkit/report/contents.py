"""From an evaluation, its pictures and the folder of its run to what the page shows."""

from __future__ import annotations

import csv
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from ..data.collection import Collection
from ..tasks.evaluation import Evaluation, MultiLabel, SingleLabel
from ..tasks.figures import Figure
from ..tasks.metrics import TEMPERATURES
from ..weights import CONFIG, DATA, MACHINE, METRICS
from .page import Calibration, Example, Headline, Remark, ReportData, Rival
from .plots import Curve
from .svg import percent, shorten

TRAINED, JUDGED = "What it was trained on", "What it was judged on"
MISTAKES, RIGHT = 18, 16  # pictures shown


class CurveRow(NamedTuple):
    """A ``column`` of a run's table as a ``line`` of a ``chart``; ``share`` and ``best`` are the chart's, a :class:`~.plots.Curve`."""

    chart: str
    line: str
    column: str
    share: bool = False
    best: str | None = None


CURVES = (
    CurveRow("Loss", "training", "train_loss"),
    CurveRow("Loss", "validation", "val_loss"),
    CurveRow("Top-1 accuracy", "validation", "val_top1", share=True, best="max"),
    CurveRow("Mean average precision", "validation", "val_map", share=True, best="max"),
    CurveRow("Learning rate", "rate", "learning_rate"),
)

HEADLINES = {
    "top1": ("Top-1 accuracy", "the first answer is right"),
    "top5": ("Top-5 accuracy", "the truth is among the first five"),
    "map": ("Mean average precision", "over classes, whatever the threshold"),
    "macro_f1": ("Macro F1", "every class weighs the same"),
    "micro_f1": ("Micro F1", "every label weighs the same"),
    "exact": ("All labels right", "no label missed, none too many"),
}


@dataclass(frozen=True)
class About:
    """What the evaluation itself does not know. ``run`` is a run folder, whose files tell the training and the data."""

    title: str
    summary: str
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    run: Path | None = None
    remarks: Sequence[Remark] = ()
    commands: Sequence[str] = ()
    origin: Mapping[str, str] = field(default_factory=dict)
    rivals: Sequence[Rival] = ()


def contents(evaluation: Evaluation, collection: Collection, about: About) -> ReportData:
    """The whole page. ``rivals`` of ``about`` are joined by this model and by guessing the commonest class."""
    run = RunFiles(about.run) if about.run else None
    single = evaluation if isinstance(evaluation, SingleLabel) else None
    return ReportData(
        title=about.title,
        summary=about.summary,
        classes=evaluation.classes,
        headlines=headlines(evaluation),
        rivals=compared(single, about.rivals) if single else about.rivals,
        curves=run.curves() if run else (),
        confusion=single.confusion if single and len(single.classes) > 1 else None,
        scores=evaluation.scores,
        average_precision=evaluation.average_precision if isinstance(evaluation, MultiLabel) else None,
        mistakes=[example(evaluation, collection, row) for row in evaluation.mistakes(MISTAKES)],
        right=[example(evaluation, collection, row) for row in evaluation.right_answers(RIGHT)],
        calibration=calibration(single) if single and "ece" not in single.uncalibrated else None,
        remarks=headed({TRAINED: run.remarks() if run else (), JUDGED: about.remarks}),
        facts={**about.facts, **(run.facts() if run else {})},
        commands=[*(run.commands() if run else ()), *about.commands],
        origin={**(run.origin() if run else {}), **about.origin},
    )


def headed(remarks: Mapping[str, Sequence[Remark]]) -> dict[str, Sequence[Remark]]:
    """``remarks`` without headings under which there are none."""
    return {heading: found for heading, found in remarks.items() if found}


def headlines(evaluation: Evaluation) -> list[Headline]:
    figures = evaluation.figures
    shown = [
        Headline(name, percent(figures[key].value), _interval(figures[key]), note)
        for key, (name, note) in HEADLINES.items()
        if key in figures
    ]
    if isinstance(evaluation, SingleLabel):
        note = evaluation.uncalibrated.get("temperature")
        note = note or f"{percent(figures['ece_scaled'].value)} with temperature {_temperature(figures['temperature'].value)}"
        shown.append(Headline("Calibration error", percent(figures["ece"].value), note=note))
    return shown


def compared(evaluation: SingleLabel, rivals: Sequence[Rival]) -> list[Rival]:
    """This model unless it is among ``rivals``, they, and the commonest class as the answer to everything: the least that a model must beat."""
    top1 = evaluation.figures["top1"]
    support = evaluation.scores.support
    commonest = Rival(
        f"always {shorten(evaluation.classes[int(support.argmax())], 48)}",
        float(support.max() / support.sum()),
        note="no model at all",
    )
    if not any(rival.ours for rival in rivals):
        rivals = [Rival("this model", top1.value, top1.low, top1.high, ours=True), *rivals]
    return [*rivals, commonest]


def calibration(evaluation: SingleLabel) -> Calibration:
    if evaluation.uncalibrated:
        return Calibration(evaluation.reliability)
    return Calibration(evaluation.reliability, evaluation.temperature, evaluation.figures["ece_scaled"].value)


def example(evaluation: Evaluation, collection: Collection, row: int) -> Example:
    """Picture ``row`` of the evaluation with what it is and what was said, each with the model's score."""
    scores = evaluation.probabilities[row]
    if isinstance(evaluation, MultiLabel):
        truth = np.flatnonzero(evaluation.truth[row])
        said = np.flatnonzero(scores >= evaluation.threshold)
    else:
        truth, said = np.array([evaluation.truth[row]]), np.array([scores.argmax()])
    named = [[(evaluation.classes[index], float(scores[index])) for index in which] for which in (truth, said)]
    return Example(collection.read(int(evaluation.indices[row])), named[0], named[1], evaluation.sources[row])


def read_curves(path: Path, table: Sequence[CurveRow] = CURVES) -> list[Curve]:
    """The curves of ``table`` in a metrics.csv; none if there is no such file. Cells that are no number are left out."""
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    charts: dict[str, Curve] = {}
    for chart, line, column, share, best in table:
        points = [
            (x, y) for x, y in ((_number(row.get("epoch")), _number(row.get(column))) for row in rows) if x == x and y == y
        ]
        if points:
            before = charts[chart].lines if chart in charts else {}
            charts[chart] = Curve(chart, {**before, line: points}, share, best)
    return list(charts.values())


class RunFiles:
    """What the plain files of a run folder say; a file that is missing says nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = _read(path / CONFIG, yaml.safe_load)
        self.data = _read(path / DATA, json.loads)
        self.machine = _read(path / MACHINE, json.loads)

    def remarks(self) -> list[Remark]:
        return [Remark(item["severity"], item["message"]) for item in self.data.get("findings", [])]

    def curves(self, file: str = METRICS, table: Sequence[CurveRow] = CURVES) -> list[Curve]:
        """Those of ``table`` in ``file``; marked is the epoch whose weights were kept: the last, or of equally good ones that of the least
        loss, as :meth:`swinkit.train.loop.Trainer.judge` has it."""
        found = read_curves(self.path / file, table)
        losses = {place: loss for curve in found for place, loss in curve.lines.get("validation", ()) if curve.name == "Loss"}
        return [replace(curve, kept=self._kept(curve, losses)) if curve.best else curve for curve in found]

    def _kept(self, curve: Curve, losses: Mapping[float, float]) -> float:
        points = list(curve.lines.values())[-1]
        if self.config.get("keep") == "last":
            return points[-1][0]
        return min(points, key=lambda point: (-point[1], losses.get(point[0], math.inf)))[0]

    def facts(self) -> dict[str, dict[str, str]]:
        """Settings of the training, and the parts of the data."""
        names = ("model", "epochs", "batch_size", "optimizer", "lr", "weight_decay", "layer_decay", "warmup_epochs", "clip_grad", "label_smoothing",
                 "mixup", "cutmix", "class_weights", "drop_path", "ema", "fit_head", "keep", "fold", "folds", "precision", "cell", "ratio", "sparse", "covered", "normalise")  # fmt: skip
        idle = "ratio" if self.config.get("sparse") else "covered"  # of the two shares each way of hiding heeds one
        used = [name for name in names if name != idle and self.config.get(name) is not None]
        training = {name.replace("_", " "): str(self.config[name]) for name in used}
        augment = self.config.get("augment") or {}
        if changes := [f"{key} {value}" for key, value in augment.items() if value]:
            training["augmentation"] = ", ".join(changes)
        split = self.data.get("split", {})
        data = {part: f"{len(split[part]):,} pictures" for part in ("train", "val", "test") if split.get(part)}
        data |= {key: str(self.data[key]) for key in ("reason",) if key in self.data}
        return {heading: group for heading, group in (("Training", training), ("Training data", data)) if group}

    def commands(self) -> list[str]:
        data = self.config.get("data")
        verb = "pretrain" if self.config.get("task") == "pretraining" else "train"
        return [shlex.join(["swinkit", verb, str(data), "--config", f"{self.path}/{CONFIG}"])] if data else []

    def origin(self) -> dict[str, str]:
        found = {"seed": self.config.get("seed"), "split": self.data.get("split", {}).get("made")}
        found |= {
            key: self.machine.get(key)
            for key in ("swinkit", "revision", "python", "torch", "torchvision", "system", "processor")
        }
        found["training data"] = f"sha256 {self.data['fingerprint']}" if "fingerprint" in self.data else None
        return {key: str(value) for key, value in found.items() if value not in (None, "")}


def _temperature(value: float) -> str:
    """A fitted temperature, which may have stopped where the search ends."""
    return f"{value:.2f}" + ", the end of the search" * bool(np.isclose(value, TEMPERATURES, rtol=1e-3).any())


def _interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None or not np.isfinite([figure.low, figure.high]).all():
        return figure.note
    return f"{figure.low * 100:.1f} – {figure.high * 100:.1f} (95\u202f% interval)"


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _read(path: Path, parse: Any) -> dict[str, Any]:
    """The mapping in ``path``. A file changed by hand into something else says nothing either: the page is of what was just measured."""
    try:
        found = parse(path.read_text("utf-8")) if path.is_file() else {}
    except (ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}
