"""Everything that is decided before the first step: data, split, starting weights, settings, and what it will cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..data.bundled import is_bundled
from ..data.cache import room
from ..data.check import Findings, examine
from ..data.collection import Collection
from ..data.fitting import SMALL
from ..data.split import Split, workable_folds
from ..devices import computes_bfloat16, find_device, threads
from ..errors import DataError
from ..extras import is_installed
from ..kernels.accelerate import accelerate
from ..machine import usable_cores
from ..tasks import Task
from .feed import Feed
from .frozen import check_agreement
from .plan import IN_TIME, LOOKING, Plan, change_seconds, epoch_seconds, load_first, peak_gigabytes, published_weights, rehearse
from .provenance import Seen, files, seen_by
from .recipe import Checked, Recipe, Say, recipe_of
from .settings import DataFacts, RunSettings
from .sparing import sparing
from .start import Start, open_start


@dataclass(frozen=True)
class Prepared:
    """``settings`` are settled and reproduce the run; ``data`` is what data.json records, ``said`` what was told meanwhile."""

    settings: RunSettings
    data: dict[str, Any]
    split: Split
    task: Task
    model: nn.Module
    feed: Feed
    plan: Plan
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ground:
    """What a run stands on: its pictures, how they are parted, and the network that it starts from."""

    recipe: Recipe
    collection: Collection
    split: Split
    start: Start
    facts: DataFacts


def prepare(settings: RunSettings, say: Say = lambda _: None, progress: Checked | None = None) -> Prepared:
    """Open and check the data, settle what is left open, build the network, rehearse a step.

    ``say`` is told what was found and decided, ``progress`` how many pictures are checked, and of how many.
    Raises :class:`DataError` for data that cannot be learned from, :class:`UsageError` for settings that do not fit it.
    """
    said: list[str] = []

    def tell(message: str) -> None:
        said.append(message)
        say(message)

    with threads(settings.threads):
        return replace(_prepared(settings, tell, progress), said=tuple(said))


def _prepared(settings: RunSettings, say: Say, progress: Checked | None) -> Prepared:
    recipe, device = recipe_of(settings.task), find_device(settings.device)
    check_agreement(settings)
    saved = open_start(settings)
    collection = recipe.open(settings, progress)
    say(collection.reason)
    findings = checked(settings, collection, say, progress)
    split = recipe.part(settings, collection, findings, say)
    check_validation(settings, collection, split, findings)
    start = recipe.start(settings, collection, split, saved)
    seen = Seen() if saved is None else seen_by(settings.model, collection)
    for note in (*start.notes, *seen.warnings((*split.val, *split.test), settings.model)):
        say(note)
    if settings.precision == "bf16-mixed" and not computes_bfloat16(device):
        say(f"warning: this {device.type} does not multiply bfloat16: it is emulated, and slower than --set precision=32-true.")
    ground = Ground(recipe, collection, split, start, recipe.facts(collection, split, start))
    settled = recipe.settle(settings, ground.facts, start)
    model = first_network(settled, collection, split, start)
    settled, plan = rehearsed(settings, settled, model, ground)
    if not start.state and ground.facts.side > SMALL and (name := published_weights(ground.facts.side)):
        extra = "" if is_installed("huggingface_hub") else " (needs pip install 'swinkit[hub]')"
        say(f"From nothing, photographs need many pictures. Published weights that fit: --model {name}{extra}")
    beside = {name: identity(pictures) for name, pictures in recipe.beside(settings).items()}
    history = {
        **beside,
        "seen": asdict(seen),
        "learned_from": saved.metadata.get("learned_from") if saved else None,
    }
    return Prepared(
        settled, record(collection, split, findings) | history, split, recipe.task(settled, collection, split), model,
        make_feed(settled, collection, split), plan,
    )  # fmt: skip


def initial_network(settings: RunSettings, collection: Collection, split: Split) -> nn.Module:
    """The network with which the run of settled ``settings`` began."""
    start = recipe_of(settings.task).start(settings, collection, split, open_start(settings))
    return first_network(settings, collection, split, start)


def first_network(settings: RunSettings, collection: Collection, split: Split, start: Start) -> nn.Module:
    """The network with the weights of ``start``, ready for the first step."""
    model = accelerate(start.network(settings.seed, settings.drop_path or 0.0).to(find_device(settings.device)))
    recipe_of(settings.task).fit_head(model, settings, collection, split, start)
    return model


def empty_network(settings: RunSettings) -> nn.Module:
    """The network of settled ``settings`` for the weights of a checkpoint; the model that it began with may be gone by then."""
    return accelerate(recipe_of(settings.task).network(settings).to(find_device(settings.device)))


def checked(settings: RunSettings, collection: Collection, say: Say, progress: Checked | None) -> Findings:
    """Examine every picture and say what was found; raises :class:`DataError` where no training makes sense."""
    folds = bool(getattr(settings, "folds", None))
    findings = examine(collection, progress, labels=recipe_of(settings.task).labels, folds=folds)
    for item in findings.items:
        say(f"{item.severity}: {item.message}")
    if findings.errors:
        raise DataError(f"{settings.data}: {'; '.join(item.message for item in findings.errors)}")
    return findings


def rehearsed(given: RunSettings, settled: RunSettings, model: nn.Module, ground: Ground) -> tuple[RunSettings, Plan]:
    """Measure a step, freeze what was measured into the settings, and say what the run will cost.

    A time limit shortens the run so that its schedule ends in time, unless ``given`` names the epochs.
    """
    recipe, start = ground.recipe, ground.start
    settled = frozen(settled, model, ground)
    task = recipe.task(settled, ground.collection, ground.split)
    feed = make_feed(settled, ground.collection, ground.split)
    batch, loading = load_first(feed)
    rehearsal = rehearse(task, model, batch, settled.precision, settled.accumulate)
    settled = settled.model_copy(update={"precision": rehearsal.precision, "accumulate": rehearsal.accumulate})
    parameters = sum(parameter.numel() for parameter in model.parameters())
    device = next(model.parameters()).device
    gigabytes = peak_gigabytes(device, parameters)
    said = sparing(task, model, batch, rehearsal)
    step = rehearsal.seconds, change_seconds(model, settled)
    per_epoch = epoch_seconds(feed, *step, loading.later)
    once = epoch_seconds(feed, *step, loading.first) - per_epoch + loading.starting
    if given.time_limit and not given.epochs:
        limit = given.time_limit * 60
        looks = min(LOOKING * limit, recipe.looking_seconds(settled, model))
        most = max(1, int((limit * IN_TIME - looks - once) / per_epoch))
        if most < (settled.epochs or 1):
            shorter = recipe.settle(given.model_copy(update={"epochs": most}), ground.facts, start)
            kept = {"precision": settled.precision, "accumulate": settled.accumulate}
            settled = frozen(shorter, model, ground).model_copy(update=kept)
    epochs = settled.epochs or 1
    plan = Plan(
        model=start.name, parameters=parameters, image_size=start.preprocessing.size, pictures=ground.facts.pictures,
        epochs=epochs, steps=epochs * feed.steps_per_epoch, batch_size=feed.batch_size, precision=rehearsal.precision,
        device=str(device), minutes=(once + epochs * per_epoch) / 60, gigabytes=gigabytes, kept=loading.kept,
        kept_gigabytes=loading.gigabytes, settings=settled.model_dump(mode="json"), sparing=said,
    )  # fmt: skip
    return settled, plan


def anchored(data: str, layout: str | None = None) -> str:
    """``data`` as it can be named from any folder, read as ``layout`` or as what is recognised."""
    return data if is_bundled(data, layout) else str(Path(data).resolve())


def places(settings: RunSettings) -> dict[str, str]:
    """Those of ``settings`` that say where pictures lie, :func:`anchored`."""
    given = (("data", settings.data, settings.format), ("probe", getattr(settings, "probe", None), None))
    return {name: anchored(place, layout) for name, place, layout in given if place}


def frozen(settled: RunSettings, model: nn.Module, ground: Ground) -> RunSettings:
    """``settled`` with everything written out that would otherwise be found again from this machine or these pictures."""
    start = ground.start
    name = str(Path(start.name).resolve()) if start.state and Path(start.name).exists() else start.name
    workers = 0 if ground.collection.pixels is not None else min(4, max(1, usable_cores() - 1))
    config: Any = model.config
    update = {
        **places(settled),
        "model": name,
        "image_size": start.config.image_size,
        "swin": config.model_dump(mode="json"),
        "preprocessing": start.preprocessing,
        "threads": torch.get_num_threads(),
        "workers": workers if settled.workers is None else settled.workers,
    }
    return settled.model_copy(update=update)


def check_validation(settings: RunSettings, collection: Collection, split: Split, findings: Findings) -> None:
    """Raises :class:`DataError` where there are no validation pictures to judge by."""
    if split.val:
        return
    labels, more = recipe_of(settings.task).labels, "more pictures that differ"
    if labels:
        grouped = any(sample.group is not None for sample in collection.samples)
        more = "three groups of each class or more" if grouped else "more pictures of each class"
    if labels and (folds := workable_folds(collection, findings.unusable, settings.seed, findings.alike)):
        more += f", --folds {folds}"
    raise DataError(
        f"{settings.data}: no validation pictures; groups and duplicates are drawn whole. Mend: {more}, a larger share, --set val=0.5, or a "
        "folder or manifest that says which they are"
    )


def make_feed(settings: RunSettings, collection: Collection, split: Split) -> Feed:
    assert settings.preprocessing is not None
    assert settings.augment is not None
    assert settings.batch_size is not None
    return Feed(
        collection=collection, train=split.train, val=split.val, preprocessing=settings.preprocessing,
        augmentation=settings.augment, batch_size=settings.batch_size, seed=settings.seed, workers=settings.workers or 0,
        room=0 if collection.pixels is not None else room(settings.cache),
    )  # fmt: skip


def record(collection: Collection, split: Split, findings: Findings) -> dict[str, Any]:
    """What data.json holds: enough to know the data again and to refuse other data."""
    return {
        "layout": collection.layout,
        "reason": collection.reason,
        **identity(collection),
        **files(collection),
        "multi_label": collection.multi_label,
        "split": split.to_dict(),
        "findings": [{"kind": item.kind, "severity": item.severity, "message": item.message} for item in findings.items],
        "unusable": {collection.samples[index].source: reason for index, reason in findings.unusable.items()},
    }


def identity(collection: Collection) -> dict[str, Any]:
    """By what pictures are known again."""
    return {"pictures": len(collection), "fingerprint": collection.fingerprint(), "classes": list(collection.classes)}
