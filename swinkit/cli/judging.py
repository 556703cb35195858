"""A model, the pictures to judge it on, the verdict, and its report: what ``evaluate``, ``train`` and ``demo`` share when they run."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..data.check import OF_TRAINING, examine
from ..data.collection import Collection, counted, shown
from ..data.layouts import open_data
from ..data.split import Split
from ..errors import DataError
from ..machine import usable_cores
from ..report.contents import About, contents
from ..report.page import Remark, Rival, write_report
from ..runtime.evaluate import evaluate, labelled
from ..runtime.export.answering import Answering, load_any, place_of
from ..runtime.rows import escape
from ..tasks import decoder_of
from ..tasks.evaluation import Evaluation, MultiLabel
from ..tasks.figures import check_gates
from ..train.place import DATA, read_record, run_of
from ..train.provenance import Seen
from ..weights.atomic import sha256_of, write_atomically, write_json
from ..weights.foreign import weight_files
from ..weights.hub import locate
from .given import source_of
from .options import at_size, bar, say, say_doubts, warn
from .published import Expectation, by_synset, expectation, validation_folder

WORDS = {"train": "training", "val": "validation", "test": "test", "all": "given"}


@dataclass(frozen=True)
class Material:
    """Pictures ``indices`` of ``collection``; ``part`` is the name of the split; ``remarks`` are what was found in it, ``unusable`` names with reasons.

    ``trained_on`` is how many of them the model learned from, None where that is not known; ``seen`` how many more without labels;
    ``traced`` whether the run knows all that the weights that it began with had learned from; ``learned`` what a model without its run says of what it learned from.
    """

    collection: Collection
    indices: Sequence[int]
    part: str
    remarks: tuple[Remark, ...] = ()
    unusable: Mapping[str, str] = field(default_factory=dict)
    trained_on: int | None = None
    seen: int = 0
    traced: bool = True
    learned: Mapping[str, Any] | None = None

    @property
    def doubts(self) -> list[Remark]:
        """What ``trained_on``, ``seen`` and ``learned`` mean for the figures."""
        count, found = len(self.indices), []
        if self.trained_on:
            mend = "judge on other data" if self.part in ("val", "test") else "leave --split out, or judge on other data"
            found.append(
                Remark(
                    "warning",
                    f"{self.trained_on:,} of the {count:,} judged pictures were trained on, so the figures say little about new pictures. "
                    f"Mend: {mend}",
                )
            )
        if self.seen:
            told = f"{self.seen:,} of the {count:,} judged pictures were seen without labels, which may flatter the figures a little"
            found.append(Remark("note", told))
        if not self.traced:
            told = "Not all that the model began with learned from is known, nor whether judged pictures are among it"
            found.append(Remark("note", told))
        if self.part == "all" and self.trained_on is None and self.learned:
            told = f"{self.learned.get('pictures', 0):,} pictures of a set called {shown(str(self.learned.get('set')))!r}"
            found.append(Remark("note", f"The model learned from {told}; whether they are among the judged ones is not known"))
        return found


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
        self.report(folder / "report.html")

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
            self.material.part,
            *self.options,
        ]
        run = run_of(self.model)
        about = About(
            title=f"{Path(self.model).resolve().name} on {self.material.collection.root.name or self.data}",
            summary=self._summary(),
            facts={"Model": describe(self.path, self.network)},
            run=run,
            remarks=[*self.material.remarks, *self.material.doubts, *self.unjudged],
            commands=[shlex.join(again)],
            origin={"judged pictures": f"split {self.material.part!r} of the set with sha256 {self.where['fingerprint']}"},
            rivals=[*rivals, *published],
        )
        return write_report(path, contents(self.evaluation, self.material.collection, about))

    def _summary(self) -> str:
        count, classes, absent = len(self.evaluation), len(self.evaluation.classes), len(self.evaluation.absent)
        kinds = f"{classes - absent:,} of the {classes:,} classes" if absent else counted(classes, "class")
        part = self.material.part
        new = part in ("val", "test") and not self.material.doubts
        seen = "that it was trained on" if part == "train" else "that it was not trained on" if new else ""
        return (
            f"A Swin Transformer of {_size(self.network)}, judged on {counted(count, f'{WORDS[part]} picture')} of {kinds} {seen}".rstrip()
            + "."
        )


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
    material = replace(material, learned=network.metadata.get("learned_from"))
    if expected:
        named: Any = tuple(network.classes)  # type: ignore[arg-type]
        material = replace(material, collection=by_synset(material.collection, named))
    for remark in (*material.remarks, *material.doubts):
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


def find_material(model: str, data: str | None, split: str, layout: str | None, quiet: bool) -> Material:
    """The pictures to judge on. The data that a run was trained on keeps the run's split, however it is named."""
    run = run_of(model)
    recorded = read_record(run, DATA) if run else {}
    source, layout = source_of(model, data, layout)
    collection = open_data(source, layout)
    if collection.fingerprint() == recorded.get("fingerprint"):
        parts = Split.from_dict(recorded["split"])
        found = _part(collection, {"train": parts.train, "val": parts.val, "test": parts.test}, split, ())
        before = Seen.from_dict(recorded.get("seen", {}))
        trained_on, seen = Seen((*before.labels, *parts.train), before.pictures).among(found.indices)
        known = trained_on if trained_on or before.complete else None
        return replace(found, trained_on=known, seen=seen, traced=before.complete)
    if data is None:
        raise DataError(
            f"{source} is not what it was when {model} was trained on it, so the split no longer holds. "
            f"Mend: restore it, or judge on all of it as new pictures: swinkit evaluate {shlex.quote(model)} {shlex.quote(source)}"
        )
    return _new_material(collection, split, quiet)


def _new_material(collection: Collection, split: str, quiet: bool) -> Material:
    with bar("checked", quiet) as progress:
        findings = examine(collection, progress)
    usable = [index for index in labelled(collection) if index not in findings.unusable]
    own = {part: [index for index in usable if collection.samples[index].split == part] for part in ("train", "val", "test")}
    found = _part(collection, {**own, "all": usable}, split, ())
    unusable = {
        sample.source: reason
        for index, reason in findings.unusable.items()
        if found.part in ("all", (sample := collection.samples[index]).split)
    }
    untold = OF_TRAINING if unusable else {*OF_TRAINING, "unusable"}  # what is the matter with parts that are not judged
    remarks = [Remark(item.severity, item.message) for item in findings.items if item.kind not in untold]
    return replace(found, unusable=unusable, remarks=tuple(remarks))


def _part(collection: Collection, parts: dict[str, Sequence[int]], split: str, remarks: tuple[Remark, ...]) -> Material:
    if split == "all" and "all" not in parts:
        parts["all"] = sorted(index for part in parts.values() for index in part)
    wanted = [split] if split != "auto" else ["test", "val", "all"]
    chosen = next((name for name in wanted if parts.get(name)), None)
    if chosen is None:
        has = ", ".join(f"{name} {len(indices):,}" for name, indices in parts.items() if indices) or "no labelled picture"
        raise DataError(f"{collection.root} has no pictures to judge on in the split {split!r}. It has: {has}")
    return Material(collection, parts[chosen], chosen, remarks)


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
