"""The recipe of ``pretrain``: pictures without labels, SimMIM around a Swin, and what its features are worth on the way."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

from torch import nn

from ..config import Masking, SwinConfig
from ..data.augment import Augmentation
from ..data.check import Findings
from ..data.collection import Collection, counted
from ..data.fitting import SMALL
from ..data.layouts import open_unlabelled
from ..data.rgb import png_bytes
from ..data.split import Split, make_split
from ..data.transforms import takes
from ..errors import DataError
from ..model.classifier import SwinClassifier
from ..model.simmim import SimMIM, compacted
from ..preprocessing import Preprocessing
from ..tasks import Task, find_task
from ..tasks.pretraining import Reconstruction, check_visible, reconstruct, sheet
from ..tasks.probing import Heeding, Probe, make_probe
from ..variants import ALIASES, VARIANTS, find
from ..weights import PAYOFF
from ..weights.atomic import write_atomically
from ..weights.resize import fit, with_pretrained_windows
from ..weights.saved import Saved, fitted, handed_over, large_enough, painted_normalise
from ..weights.verify import ShapesOnly, signatures
from .labelled import examined
from .loop import Trainer
from .recipe import Checked, Recipe, Say
from .run import RunFolder
from .settings import DataFacts, PretrainSettings, default_epochs, default_rate, filled, scheduled
from .start import Start, gray, starting_point, suited

PUBLISHED = 192  # pixels; the side at which SimMIM pre-trains published variants, their windows smaller in proportion
ACROSS = 6  # cells along the shorter side of a picture, at least
KEPT_ASIDE = 1000  # validation pictures; the loss on so many is as good as exact
SHOWN = 8  # pictures of the reconstruction sheet
PROBES = 8  # measurements of the features in a run, about
PAINTER = ("backbone.", "norm.", "reconstruction.")
SHEET = "reconstruction.png"


class Unlabelled(Recipe):
    folder = "pretrain"
    labels = False
    settings = PretrainSettings

    def open(self, settings: PretrainSettings, progress: Checked | None = None) -> Collection:
        if settings.probe is not None:
            examined(settings.probe, progress)
            probe_of(settings.probe, settings.seed)  # what cannot be measured on is said before hours go into it
        return open_unlabelled(settings.data or "", settings.format)

    def part(self, settings: PretrainSettings, collection: Collection, findings: Findings, say: Say) -> Split:
        usable = len(collection) - len(findings.unusable)
        share = settings.val or min(0.1, KEPT_ASIDE / max(1, usable))
        split = make_split(collection, findings.unusable, settings.seed, share, alike=findings.alike)
        if split.test:
            say(f"Left aside: {counted(len(split.test), 'test picture')}.")
        return Split(split.train, split.val, (), split.made)

    def start(self, settings: PretrainSettings, collection: Collection, split: Split, saved: Saved | None) -> Start:
        name = settings.model if saved else suited(settings, collection, split.train)[1].variant
        given = published(settings, name)
        start = starting_point(given, collection, split.train, saved, PAINTER)
        cell = settings.cell or default_cell(start.config, settings.sparse)
        masking = settings.model_copy(update={"cell": cell}).masking
        masking.fits(start.config)
        check_visible(start.config.image_size, masking)
        if settings.probe is not None and not takes(start.config.in_channels, have := examined(settings.probe)[0].channels):
            raise DataError(
                f"{settings.probe}: its pictures have {have} channels, and the network is to learn from {start.config.in_channels}. "
                "Mend: a labelled set of pictures like those of the folder"
            )
        if start.state:
            start = taken_over(start, masking, painted_normalise(saved) if saved else 0)
        return replace(start, build=functools.partial(SimMIM, masking=masking))

    def facts(self, collection: Collection, split: Split, start: Start) -> DataFacts:
        return DataFacts(
            len(split.train),
            len(split.val),
            max(start.config.image_size),
            collection.channels,
            gray=gray(collection, split.train),
        )

    def settle(self, settings: PretrainSettings, facts: DataFacts, start: Start) -> PretrainSettings:
        small = facts.side <= SMALL
        settings = scheduled(settings, facts, 2 * default_epochs(facts.pictures, fine_tuning=False), warmup=10.0)
        rate = default_rate(settings, facts.side, fine_tuning=False)
        chosen = {
            "cell": default_cell(start.config, settings.sparse),
            "lr": rate / (1 if small else 4),
            "layer_decay": 1.0,
            "drop_path": 0.0,
            "keep": "last",
            "probe_every": max(1, (settings.epochs or 1) // PROBES),
        }
        shifts = Augmentation(flip=facts.channels == 3 and not facts.gray, shift=max(1, facts.side // 14))
        return filled(settings, chosen, shifts if small else Augmentation(flip=True, crop_scale=(0.67, 1.0)))

    def network(self, settings: PretrainSettings) -> nn.Module:
        return SimMIM(SwinConfig.model_validate(settings.swin), settings.masking)

    def task(self, settings: PretrainSettings, collection: Collection, split: Split) -> Task:
        return find_task(settings.task)(settings.masking, settings.seed)

    def beside(self, settings: PretrainSettings) -> dict[str, Collection]:
        return {} if settings.probe is None else {"probe": examined(settings.probe)[0]}

    def looking_seconds(self, settings: PretrainSettings, model: nn.Module) -> float:
        if settings.probe is None:
            return 0.0
        assert settings.preprocessing is not None
        probe, looks = probe_of(settings.probe, settings.seed), PROBES + 1
        return looks * probe.seconds(as_handed_over(model, settings.preprocessing), settings.preprocessing)

    def observe(self, run: RunFolder, trainer: Trainer, heeding: Heeding) -> str:
        """Draw the reconstruction sheet, and every few epochs measure the features, a line of payoff.csv."""
        settings: Any = trainer.settings
        if trainer.epoch % settings.probe_every and trainer.epoch < settings.epochs and not trainer.exhausted:
            return ""
        if settings.probe is None:
            draw(run, trainer)
            return ""
        probe, model = probe_of(settings.probe, settings.seed), as_handed_over(trainer.average.model, settings.preprocessing)
        figures = probe.measure(model, settings.preprocessing, workers=settings.workers or 0, heeding=heeding)
        draw(run, trainer)
        run.append_metrics({"step": trainer.progress.step, "epoch": trainer.epoch, **figures}, PAYOFF)
        return f"features: linear probe {figures['linear']:.4f}, nearest neighbours {figures['knn']:.4f}"


def published(settings: PretrainSettings, name: str) -> PretrainSettings:
    """``settings`` with the size and window at which ``name`` is pre-trained, where it is a published variant and they are left open."""
    if name not in {*VARIANTS, *ALIASES} or name.endswith("_nano"):
        return settings
    config = find(name).config
    size = settings.image_size or PUBLISHED
    height, width = (size, size) if isinstance(size, int) else size
    most = config.window_size[0]
    window = max(1, round(min(height, width) * most / config.image_size[0]))
    swin = {"window_size": min(large_enough(window, most), most), **(settings.swin or {})}
    return settings.model_copy(update={"model": name, "image_size": size, "swin": swin})


def default_cell(config: SwinConfig, sparse: bool) -> int:
    """The coarsest grid of a stage that has six cells along a picture's shorter side; sparse, of a stage before the last."""
    strides = config.strides[:-1] if sparse and config.num_stages > 1 else config.strides
    return max((side for side in strides if min(config.image_size) >= ACROSS * side), default=config.patch_size)


def taken_over(start: Start, masking: Masking, normalise: int = 0) -> Start:
    """``start`` with the weights to go on with: the encoder's, and the decoder's too if its shape and its targets, which
    ``normalise`` normalised, are those of now.

    Tables go straight from the windows in which they were trained to those that the encoder has now: none is resized that keeps its window,
    unless maps were compacted and no longer are.
    """
    trained, seen = start.trained or start.config, compacted(start.config, masking)
    if start.resizing == "compacted" and masking.sparse:
        start = replace(start, resizing="geometric")
        seen = seen.model_copy(update={"pretrained_window_sizes": trained.pretrained_window_sizes})
    if start.resizing != "compacted":  # whose reach is known from the hand-over
        sizes = with_pretrained_windows(seen, trained).pretrained_window_sizes
        start = replace(start, config=start.config.model_copy(update={"pretrained_window_sizes": sizes}))
    state = fit(start.state, trained, seen, start.resizing)
    painting = {name: tensor for name, tensor in state.items() if name.startswith("reconstruction.")}
    with ShapesOnly():
        expected = signatures(SimMIM(start.config, masking).state_dict())
    fits = all(expected.get(name) == found for name, found in signatures(painting).items())
    if fits and (not painting or normalise == masking.normalise):
        return replace(start, state=state)
    why = f", since it learned targets of normalise={normalise}" if fits else ""
    left = (f"What painted hidden parts there has no use here{why}: the encoder alone goes on.",) if painting else ()
    state = {name: tensor for name, tensor in state.items() if name not in painting}
    return replace(start, state=state, notes=(*start.notes, *left))


def probe_of(data: str, seed: int) -> Probe:
    """The labelled set ``data``, parted: as its layout says, else a third to answer for."""
    collection, findings = examined(data)
    split = make_split(collection, findings.unusable, seed, val=1 / 3, alike=findings.alike)
    return make_probe(collection, split.train, split.test or split.val, seed)


def as_handed_over(model: nn.Module, preprocessing: Preprocessing) -> nn.Module:
    """``model``, a :class:`SimMIM`, as whoever goes on with it sees whole pictures: sparse, by what is handed over."""
    network: Any = model
    if not network.masking.sparse:
        return model
    saved = Saved(network.config, (), preprocessing, False, {}, network.state_dict(), network.masking)
    handed = fitted(handed_over(saved, network.config.image_size))
    classifier = SwinClassifier(handed.config)
    classifier.load_state_dict({name: handed.state[name] for name in classifier.state_dict()})
    return classifier.to(next(model.parameters()).device)


def draw(run: RunFolder, trainer: Trainer) -> None:
    write_atomically(run.path / SHEET, png_bytes(sheet(examples(trainer))))


def examples(trainer: Trainer) -> list[Reconstruction]:
    """The first validation pictures, as the averaged weights paint them."""
    task: Any = trainer.task
    feed = trainer.feed
    batch = next(iter(feed.evaluation(list(feed.val)[:SHOWN])))
    hidden = task.mix(batch.to(trainer.fabric.device))
    names = feed.names(batch.indices.tolist())
    return reconstruct(trainer.average.model, hidden.images, hidden.mask, feed.preprocessing, names)
