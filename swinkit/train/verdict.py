"""Did pre-training pay? Its network fine-tuned on labelled pictures, against the same from nothing in as many epochs, and in as much time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.collection import counted
from ..data.layouts import open_data
from ..data.loader import eval_batches
from ..data.split import Split
from ..data.transforms import evaluation
from ..devices import find_device
from ..errors import DataError, Interrupted, UsageError
from ..tasks import load
from ..tasks.figures import Figure, share_of
from ..tasks.metrics import Interval, bootstrap, share_interval, sign_test
from ..timing import duration
from ..validation import validated
from ..variants import ALIASES, VARIANTS
from ..weights import CONFIG, DATA, METRICS
from ..weights.atomic import write_json
from .constancy import OtherPictures
from .labelled import Labelled, examined
from .place import read_record
from .provenance import Seen
from .run import read_rows
from .session import begin, resume
from .settings import PretrainSettings, TrainSettings, default_batch_size, default_epochs
from .watch import Display

RECORD = "verdict.json"
MOST = 5000  # labelled pictures that are learned from; what helps there helps with more
LONGER = 4  # times as many epochs from nothing are tried, at most; the time of a long pre-training would be hundreds
DRAWS = 2000
LOADING = {"workers", "cache"}
ALIKE = {"device", "precision", "threads", *LOADING}  # how a verdict computes: as the pre-training did
WORDS = {1: "worth it", 0: "not yet", -1: "no"}


@dataclass(frozen=True)
class Rated:
    """One way to train on the labelled pictures, and its share of right answers with a 95 % interval over the judged ones."""

    name: str
    epochs: int
    minutes: float
    top1: Figure


@dataclass(frozen=True)
class Verdict:
    """``word`` is "worth it" where pre-training gains for certain, "no" where it loses for certain, else "not yet".

    ``gain`` is top-1 of ``ways[0]``, the fine-tuned, less that of the best of the others, which are from nothing; its interval is from pictures
    drawn in pairs. ``seen`` of the ``judged`` pictures were among those of the pre-training, which took ``minutes``, None where an older version
    did not record them.
    """

    word: str
    gain: Figure
    labels: int
    judged: int
    ways: tuple[Rated, ...]
    seen: int = 0
    minutes: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def doubts(self) -> list[str]:
        """What may flatter the gain; nothing where nothing may."""
        found = []
        if self.seen:
            found.append(
                f"{self.seen:,} of the {self.judged:,} judged pictures were seen without labels in the pre-training, which may flatter the gain a little"
            )
        tuned, longest = self.ways[0], self.ways[-1]
        spent = (self.minutes or 0.0) + tuned.minutes
        if longest.epochs == LONGER * tuned.epochs and longest.minutes < spent:
            found.append(
                f"Pre-training and fine-tuning took {duration(60 * spent)}, the longest training from nothing {duration(60 * longest.minutes)}: more than "
                f"{LONGER} times the epochs are not tried"
            )
        return found

    @property
    def after(self) -> str:
        """After what the fine-tuning began."""
        return "after pre-training" if self.minutes is None else f"after {duration(60 * self.minutes)} of pre-training"

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Verdict:
        ways = tuple(Rated(**{**way, "top1": Figure(**way["top1"])}) for way in stored["ways"])
        return cls(**{**stored, "gain": Figure(**stored["gain"]), "ways": ways})

    def __str__(self) -> str:
        tuned, *nothing = self.ways
        others = ", ".join(f"{way.top1.value:.1%} {way.name}" for way in nothing)
        told = (
            f"{self.word.capitalize()}: with {counted(self.labels, 'label')} {tuned.top1.value:.1%} right {self.after}, {others}; "
            f"{self.gain.value * 100:+.1f} points {'over the better ' * (len(nothing) > 1)}"
            f"({(self.gain.low or 0) * 100:+.1f} to {(self.gain.high or 0) * 100:+.1f}) on {counted(self.judged, 'picture')}"
        )
        return ". ".join([told, *self.doubts]) + "."


@dataclass(frozen=True)
class Cost:
    """What a verdict takes: ``labels`` pictures, learned from twice for ``epochs``, and once more for as long as the pre-training took."""

    labels: int
    epochs: int

    @property
    def steps(self) -> int:
        return 2 * self.epochs * max(1, self.labels // default_batch_size(self.labels))

    def __str__(self) -> str:
        return (
            f"The verdict will take two trainings on {counted(self.labels, 'labelled picture')}, of {counted(self.epochs, 'epoch')} each, "
            f"about {counted(self.steps, 'step')} in all, and one from nothing for as long as the pre-training took, {LONGER * self.epochs:,} epochs at "
            "most; --no-verdict leaves it out"
        )


def foreseen(settings: PretrainSettings) -> Cost:
    """What the verdict of a pre-training with ``settings``, which have a labelled set, will take.

    Raises :class:`DataError` for a set on which ``train`` would find nothing to learn from or to judge by.
    """
    collection, findings = examined(str(settings.probe))
    split = Labelled().part(labelled(settings), collection, findings, lambda _: None)
    if not split.val:
        raise DataError(
            f"{settings.probe}: of {len(split.train)} labelled pictures none can be kept aside to judge by. Mend: more pictures of each "
            "class, or --no-verdict"
        )
    return Cost(len(split.train), default_epochs(len(split.train), fine_tuning=False))


def labelled(settings: PretrainSettings) -> TrainSettings:
    """Settings that all trainings of a verdict share: all labelled pictures, or, of very many, as many of each class, computed as the
    pre-training with ``settings`` is."""
    collection, _ = examined(str(settings.probe))
    many = sum(sample.split in (None, "train") for sample in collection.samples) > MOST
    return TrainSettings(
        data=settings.probe, seed=settings.seed, tensorboard=False, **settings.model_dump(include=ALIKE),
        per_class=-(-MOST // len(collection.classes)) if many else None,
    )  # fmt: skip


def confound(settings: PretrainSettings) -> str:
    """What the verdict on a run with ``settings`` cannot tell apart; nothing for one that began from nothing."""
    if settings.model in {*VARIANTS, *ALIASES}:
        return ""
    return (
        f"The run went on from {settings.model}, so a gain is due to what that had learned as well, in time that is not counted"
    )


def weigh(run: Path, display: Display, changes: Mapping[str, Any]) -> Verdict | None:
    """The verdict on the finished pre-training in ``run``; None where it was given no labelled set. Of ``changes`` to its settings those that
    say how pictures are loaded count here, too.

    Runs below ``run/verdict``, each as ``train`` does it by itself: fine-tuned and from nothing for as many epochs, then, where pre-training
    took its time, from nothing for as long as both it and the fine-tuning took. Killed, it goes on where it was.
    """
    loading = {name: changes[name] for name in LOADING & changes.keys()}
    settings = validated(PretrainSettings, {**read_record(run, CONFIG), **loading})
    if settings.probe is None or not settings.verdict:
        return None
    cost, shared = foreseen(settings), labelled(settings)
    again, doubt = settings.swin or {}, confound(settings)
    if doubt:
        display.say(f"note: {doubt}")
    shape = "swin_nano" if doubt else settings.model  # a name for what is given whole
    nothing = {"model": shape, "swin": again, "image_size": again["image_size"], "preprocessing": settings.preprocessing}

    def trained(folder: str, name: str, epochs: int, start: dict[str, Any]) -> tuple[Rated, np.ndarray]:
        chosen = validated(TrainSettings, {**shared.model_dump(), **start, "epochs": epochs})
        return tried(run, folder, name, chosen, display)

    found = [
        trained("pretrained", "fine-tuned", cost.epochs, {"model": str(run)}),
        trained("nothing", "from nothing in as many epochs", cost.epochs, nothing),
    ]
    minutes = minutes_of(run)
    longer = epochs_in_as_much_time(minutes, *(way for way, _ in found))
    if longer > cost.epochs:
        long = f"{LONGER} times as many epochs" if longer == LONGER * cost.epochs else "as much time"
        found.append(trained("longer", f"from nothing in {long}", longer, nothing))
    ways, hits = zip(*found, strict=True)
    seen = seen_among_judged(run / "verdict" / "pretrained")
    verdict = replace(compared(hits, ways, cost.labels), seen=seen, minutes=minutes)
    write_json(run / RECORD, verdict.to_dict())
    return verdict


def epochs_in_as_much_time(minutes: float, tuned: Rated, nothing: Rated) -> int:
    """How many epochs from nothing take as long as ``minutes`` of pre-training and then ``tuned``, at the pace of ``nothing``; at most
    :data:`LONGER` times its epochs."""
    spent = minutes + tuned.minutes
    if spent >= LONGER * nothing.minutes:
        return LONGER * nothing.epochs
    return round(nothing.epochs * spent / nothing.minutes)


def compared(hits: Sequence[np.ndarray], ways: Sequence[Rated], labels: int) -> Verdict:
    """The verdict from which pictures each of the ``ways`` got right, (N,) bool, the fine-tuned first; it is compared with the best of the others."""
    tuned, *nothing = hits
    apart = tuned.astype(float) - max(nothing, key=np.mean)
    interval = gain_interval(apart)
    gain = Figure(float(apart.mean()), interval.low, interval.high)
    sign = 1 if interval.low > 0 else -1 if interval.high < 0 else 0
    return Verdict(WORDS[sign], gain, labels, len(apart), tuple(ways))


def gain_interval(apart: np.ndarray) -> Interval:
    """95 % interval of the mean of ``apart`` (n,), 1 where only the first way is right, -1 where only the second is, by bootstrap.

    Resamples of a handful of differences never hold one that speaks otherwise; the interval holds 0 unless an exact sign test sees a
    difference, which takes six pictures at least.
    """
    if not apart.any():  # no resample differs; Wilson's interval says how many more pictures may part the ways
        most = share_interval(apart != 0).high
        return Interval(-most, most)
    drawn = bootstrap(lambda rows: float(apart[rows].mean()), len(apart), draws=DRAWS)
    if sign_test(int((apart > 0).sum()), int((apart < 0).sum())) < 0.05:
        return drawn
    return Interval(min(drawn.low, 0.0), max(drawn.high, 0.0))


def read_verdict(run: Path) -> Verdict | None:
    path = run / RECORD
    return Verdict.from_dict(json.loads(path.read_text("utf-8"))) if path.is_file() else None


def seen_among_judged(run: Path) -> int:
    """How many of the pictures that the fine-tuning in ``run`` kept aside its pre-training saw, as far as places tell."""
    data = read_record(run, DATA)
    split = Split.from_dict(data["split"])
    return Seen.from_dict(data.get("seen", {})).among(split.test or split.val)[1]


def answers(run: Path, workers: int | None) -> np.ndarray:
    """Which of the pictures that a training kept aside its model gets right, (N,) bool; ``workers`` None are as many as it had."""
    config, data = read_record(run, CONFIG), read_record(run, DATA)
    split, collection, model = Split.from_dict(data["split"]), open_data(config["data"], config["format"]), load(run)
    device = find_device(config["device"])
    model.to(device)
    judged = split.test or split.val
    right = []
    look: Any = model.preprocessing
    with torch.inference_mode():
        for batch in eval_batches(
            collection, judged, evaluation(look), 64, workers=config["workers"] if workers is None else workers
        ):
            right.append(model(batch.images.to(device)).argmax(dim=1).cpu() == batch.labels)
    return torch.cat(right).numpy()


def minutes_of(run: Path) -> float:
    """What the epochs of ``run`` took with their evaluations, over all its interruptions: what was lost at a kill counts once."""
    return sum(float(row["seconds"]) for row in read_rows(run / METRICS)) / 60


def tried(run: Path, folder: str, name: str, settings: TrainSettings, display: Display) -> tuple[Rated, np.ndarray]:
    """One training of the verdict on ``run``, in its ``folder``, begun or finished: how it fared, and which pictures it gets right, (N,) bool."""
    display.say(f"Verdict: {name}, {counted(settings.epochs or 0, 'epoch')}")
    path = run / "verdict" / folder
    try:
        if (path / CONFIG).is_file():
            changes = settings.model_dump(include={"data", "device", *LOADING})
            epochs = resume(path, changes, display).epochs
        else:
            epochs = begin(settings, path, display).epochs
    except OtherPictures:
        raise UsageError(
            f"The labelled set {settings.data} is not what the verdict began with. The pre-training is finished and stays. Mend: restore the set, "
            f"or remove {path.parent} for a new verdict"
        ) from None
    except Interrupted:
        raise Interrupted(
            f"Stopped in the verdict; the pre-training is finished and all is saved. Go on with: swinkit pretrain --resume {run}"
        ) from None
    right = answers(path, settings.workers)
    return Rated(name, epochs, minutes_of(path), share_of(right)), right
