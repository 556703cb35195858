"""A model, the pictures to judge it on, the verdict, and its report: what ``evaluate``, ``train`` and ``demo`` share when they run."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..data.collection import counted, shown
from ..machine import usable_cores
from ..report.contents import About, contents
from ..report.page import Remark, Rival, write_report
from ..runtime.evaluate import evaluate
from ..runtime.export.answering import Answering, load_any, place_of
from ..runtime.rows import escape
from ..tasks import decoder_of
from ..tasks.evaluation import Evaluation, MultiLabel
from ..tasks.figures import check_gates
from ..train.place import run_of
from ..weights import REPORT
from ..weights.atomic import sha256_of, write_atomically, write_json
from ..weights.attached import attached
from ..weights.foreign import weight_files
from ..weights.hub import locate
from .material import WORDS, Material, find_material
from .options import at_size, bar, say, say_doubts, warn
from .published import Expectation, by_synset, expectation, validation_folder


@dataclass(frozen=True)
class Judged:
    """``model`` as it was named, where its files are, the loaded ``network``, and its evaluation on ``material``; ``options`` repeat it."""

    model: str
    path: Path
    data: str | None
    network: Any
    material: Material
    evaluation: Evaluation
    expected: Expectation | None = None
    options: tuple[str, ...] = ()

    @property
    def where(self) -> dict[str, Any]:
        """Which pictures were judged."""
        collection = self.material.collection
        return {
            "root": str(collection.root),
            "split": self.material.part,
            "trained_on": self.material.trained_on,
            "seen_without_labels": self.material.seen,
            "unusable": dict(self.material.unusable),
            "fingerprint": collection.fingerprint(),
        }

    @property
    def unjudged(self) -> list[Remark]:
        """Of which classes the figures say nothing."""
        absent, classes = self.evaluation.absent, len(self.evaluation.classes)
        if not absent:
            return []
        names = ", ".join(map(repr, map(shown, absent[:8]))) + ", …" * (len(absent) > 8)
        told = f"no judged picture is of {len(absent):,} of the {classes:,} classes, of which the figures say nothing: {names}"
        return [Remark("warning", told)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values: model, data, figures, and the published figure where one was expected."""
        published = {"published": asdict(self.expected)} if self.expected else {}
        return {"model": self.model, "data": self.where, **published, **self.evaluation.to_dict()}

    def write(self, folder: Path) -> None:
        """report.html, evaluation.json and predictions.csv in ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "evaluation.json", self.to_dict())
        write_atomically(folder / "predictions.csv", predictions(self.evaluation))
        self.report(folder / REPORT)

    def report(self, path: Path, rivals: Sequence[Rival] = ()) -> Path:
        """The page at ``path``; ``rivals`` are other models' figures to compare with, beside the published one."""
        expected = self.expected
        published = [Rival("as published", expected.top1 / 100, note=expected.source)] if expected else []
        again = [
            "swinkit",
            "evaluate",
            self.model,
            *([self.data] if self.data else []),
            "--split",
            "auto" if self.material.part == "new" else self.material.part,
            *self.options,
        ]
        run = run_of(self.model)
        about = About(
            title=f"{Path(self.model).resolve().name} on {self.material.collection.root.name or self.data}",
            summary=self._summary(),
            facts={"Model": describe(self.path, self.network)},
            run=run,
            remarks=[*self.material.found, *self.unjudged],
            commands=[shlex.join(again)],
            origin={"judged pictures": f"split {self.material.part!r} of the set with sha256 {self.where['fingerprint']}"},
            rivals=[*rivals, *published],
        )
        return write_report(path, contents(self.evaluation, self.material.collection, about))

    def _summary(self) -> str:
        count, classes, absent = len(self.evaluation), len(self.evaluation.classes), len(self.evaluation.absent)
        kinds = f"{classes - absent:,} of the {classes:,} classes" if absent else counted(classes, "class")
        judged = f"judged on {counted(count, f'{WORDS[self.material.part]} picture')} of {kinds}"
        return f"A Swin Transformer of {_size(self.network)}, {judged}{self._learned}."

    @property
    def _learned(self) -> str:
        """How many of the judged pictures the model was trained on, as the end of a sentence; nothing where there is doubt."""
        material = self.material
        if material.trained_on:
            every = material.trained_on == len(material.indices)
            return " that it was trained on" if every else f", {material.trained_on:,} of which it was trained on"
        return " that it was not trained on" if material.part in ("val", "test", "new") and not material.doubts else ""


def judge(
    model: str, data: str | None = None, *, split: str = "auto", layout: str | None = None, device: str = "auto",
    batch_size: int = 64, quiet: bool = False, expect: str | None = None, gates: Mapping[str, float] | None = None,
    image_size: tuple[int, int] | None = None,
) -> Judged:  # fmt: skip
    """Load ``model`` and judge it on ``data``, by default on what its run kept from the training, with a bar on stderr.

    ``gates`` are checked before the work, and held by the caller. ``expect`` asks for the published figure beside it; ``data`` is ImageNet's validation set then.
    """
    located = locate(model)
    network = load_any(located, image_size)
    decoder_of(network)  # of whom there are no answers to judge
    say_doubts(network, quiet)
    check_gates(gates or {}, len(network.classes), bool(network.multi_label))
    network = network.to(place_of(network, device))
    expected = expectation(model, expect, network.config) if expect else None
    material = find_material(model, validation_folder(data) if expected and data else data, split, layout, quiet)
    temperature = attached(network).temperature
    material = replace(material, learned=network.metadata.get("learned_from"), temperature=temperature)
    if expected:
        named: Any = tuple(network.classes)  # type: ignore[arg-type]
        material = replace(material, collection=by_synset(material.collection, named))
    for remark in material.found:
        if remark.severity == "note":
            say(f"note: {remark.message}", quiet)
        else:
            warn(remark.message)
    recognised = f" Recognised: {material.collection.reason}." if data else ""
    say(f"Judging on {counted(len(material.indices), f'{WORDS[material.part]} picture')}.{recognised}", quiet)
    workers = 0 if material.collection.pixels is not None else min(2, usable_cores())
    with bar("judged", quiet) as progress:
        evaluation = evaluate(
            network, material.collection, material.indices, batch_size=batch_size, workers=workers, progress=progress
        )
    words = {"--format": layout, "--expect": expect}
    again = [*(word for option, value in words.items() if value for word in (option, value)), *at_size(image_size)]
    judged = Judged(model, located.path, data, network, material, evaluation, expected, tuple(again))
    for doubt in judged.unjudged:
        warn(doubt.message)
    return judged


def describe(path: Path, network: Any) -> dict[str, str]:
    """What the model is whose files lie at ``path``, in whatever library's format, for its report."""
    config, preprocessing = network.config, network.preprocessing
    files = [path / name for name in network.bundle.files] if isinstance(network, Answering) else weight_files(path)
    return {
        "architecture": f"Swin V{config.version}, {'-'.join(map(str, config.depths))} blocks",
        "width": f"{config.embed_dim} channels, heads {'-'.join(map(str, config.num_heads))}",
        "window": " x ".join(map(str, config.window_size)),
        "patch": f"{config.patch_size} pixels",
        "size": _size(network),
        "input": f"{' x '.join(map(str, preprocessing.size))} pixels, {preprocessing.channels} channels, {preprocessing.resize}",
        "classes": f"{len(network.classes):,}",
        "weights": ", ".join(f"sha256 {sha256_of(file)}" for file in files),
    }


def predictions(evaluation: Evaluation) -> bytes:
    """One CSV row per judged picture; names that a spreadsheet would run are escaped as in ``swinkit predict``."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["path", "truth", "label", "score", "right"])
    for row, source in enumerate(evaluation.sources):
        scores = evaluation.probabilities[row]
        if isinstance(evaluation, MultiLabel):
            truth, said = evaluation.truth[row], scores >= evaluation.threshold
            right = bool((truth == said).all())
            pairs = (zip(evaluation.classes, flags, strict=True) for flags in (truth, said))
            names = [json.dumps([name for name, there in pair if there]) for pair in pairs]
        else:
            best = int(scores.argmax())
            right = best == evaluation.truth[row]
            names = [evaluation.classes[evaluation.truth[row]], evaluation.classes[best]]
        writer.writerow([escape(source), *map(escape, names), f"{scores.max():.6g}", int(right)])
    return text.getvalue().encode("utf-8")


def _size(network: Any) -> str:
    """Parameters; of an exported graph, which does not tell them, what it is."""
    if isinstance(network, Answering):
        return f"an exported {network.bundle.manifest.target} graph in {network.bundle.manifest.precision}"
    count = sum(parameter.numel() for parameter in network.parameters())
    return f"{count / 1e6:.2f} million parameters" if count >= 1e5 else f"{count:,} parameters"
