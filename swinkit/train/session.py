"""A run from its first picture to its model: everything around the loop, in order."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from ..data.collection import Collection, counted
from ..data.split import Split
from ..data.workers import explained_workers
from ..devices import find_device, threads
from ..errors import DataError, Interrupted
from ..tasks import Meter
from ..validation import validated
from ..weights.files import read_model
from ..weights.saved import weights_digest
from .checkpoint import Checkpoint
from .constancy import FOLLOWED, same_data, same_settings, unchanged
from .interrupt import CutShort, Interruption, until
from .loop import Trainer
from .place import check_place, resumable
from .prepare import Prepared, empty_network, identity, initial_network, make_feed, places, prepare
from .provenance import files
from .recipe import recipe_of
from .run import RunFolder
from .settings import MAKING, RunSettings, TrainSettings
from .watch import Display, EpochSums, RunWatcher, Unheard, save_trained


@dataclass(frozen=True)
class RunResult:
    """``validation`` and ``test`` (None without a test split) are the model's metrics; ``sha256`` is :func:`~swinkit.weights.saved.weights_digest` of its weights.

    ``stopped`` says why a run ended before its last step, and, unless it is ``finished``, how it goes on; None for one that reached it. One that
    stopped early, since it grew no better, is finished.
    """

    path: Path
    epochs: int
    step: int
    validation: dict[str, float]
    test: dict[str, float] | None
    sha256: str
    parameters: int
    stopped: str | None = None
    finished: bool = True

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path)}


def fit(
    data: str | Path, model: str | Path = "auto", out: str | Path | None = None, *, display: Display | None = None,
    **settings: Any,
) -> RunResult:  # fmt: skip
    """Train a model on the pictures at ``data`` into a new run folder.

    ``model`` is a variant's name, or a run or model folder to fine-tune; further keywords are fields of
    :class:`TrainSettings`. Raises :class:`Interrupted` after saving when a signal ends it early, with the command that goes
    on; :class:`DataError` and :class:`UsageError` before anything is written. A time limit that is over ends it as its last
    step would: the model as it is by then is measured and saved. Without a ``display``, what the command prints as a warning,
    such as pictures that are left out or were learned from before, is a :class:`UserWarning`; all that is said is in log.txt.
    """
    chosen, display = validated(TrainSettings, {"data": data, "model": model, **settings}), display or Unheard()
    if chosen.folds and chosen.fold is None:
        display.say(
            f"warning: of folds={chosen.folds} this trains the first alone; swinkit.train.cross_validate trains all, and fold=0 says that one is meant"
        )
    return begin(chosen, out, display)


def begin(settings: RunSettings, out: str | Path | None, display: Display) -> RunResult:
    """A new run with ``settings``, in ``out`` or where runs of its kind go, ``runs/classify`` or ``runs/pretrain``."""
    check_place(settings, Path(out) if out is not None else None)  # before minutes go into looking at the pictures
    return run_prepared(ready(settings, display), out, display)


def ready(settings: RunSettings, display: Display) -> Prepared:
    """:func:`prepare`, told to ``display``."""
    try:
        return prepare(settings, display.say, display.checked)
    finally:
        display.end()


def run_prepared(prepared: Prepared, out: str | Path | None, display: Display) -> RunResult:
    settings, fabric = prepared.settings, make_fabric(prepared.settings)
    display.say(str(prepared.plan))
    name, folder, config = Path(settings.data or "run").name, recipe_of(settings.task).folder, settings.model_dump(mode="json")
    # signals are requests before there is a folder: one ahead of the loop would leave a run without a word on how it goes on
    with (
        Interruption() as interruption,
        RunFolder.create(out, name, config, prepared.data, folder) as run,
        threads(settings.threads),
        closing(prepared.feed),
        explained_workers(),
    ):
        for message in (*prepared.said, str(prepared.plan)):
            run.log(message)
        for note in run.notes:
            run.log(note)
            display.say(note)
        trainer = Trainer(fabric, prepared.task, prepared.model, prepared.feed, settings)
        return finish(run, trainer, prepared.split, display, interruption)


def resume(path: str | Path, changes: Mapping[str, Any] | None = None, display: Display | None = None) -> RunResult:
    """Go on with the run in ``path`` exactly where its newest valid checkpoint stands. The verdict on a pre-training is left to
    :func:`~.pretraining.go_on`.

    ``changes`` may only touch what no bit depends on (``time_limit``, ``save_every``, ``workers``, ``cache``,
    ``tensorboard``, ``device``, ``verdict``), and ``data`` and ``probe`` when the same pictures moved. Raises :class:`UsageError` with the difference for any other.
    """
    display = display or Unheard()
    with RunFolder.resume(path) as run:
        recipe = recipe_of(run.config.get("task", ""))
        settings = unchanged(validated(recipe.settings, run.config), changes or {})
        collection = same_pictures(run, settings, display)
        with threads(settings.threads):
            return _gone_on(run, settings, collection, display)


def _gone_on(run: RunFolder, settings: RunSettings, collection: Collection, display: Display) -> RunResult:
    recipe, split = recipe_of(settings.task), Split.from_dict(run.data["split"])
    task, feed = recipe.task(settings, collection, split), make_feed(settings, collection, split)
    checkpoint = run.checkpoints.newest_valid()  # none when it was killed before the first step
    # older versions did not save them
    same_settings(settings, checkpoint.state.get("settings", {}) if checkpoint else {})
    model = empty_network(settings) if checkpoint else initial_network(settings, collection, split)
    trainer = Trainer(make_fabric(settings), task, model, feed, settings)
    notes, epoch = restored(trainer, run, checkpoint)
    beside = recipe.beside(settings)
    if not trainer.over:
        for name in beside.keys() & run.data.keys():
            same_data(run.data[name], beside[name], f" of {name}")
    write_down(run, settings, collection, beside)
    run.truncate_metrics(trainer.progress.told)
    for note in [*notes, f"Going on from step {trainer.progress.step} of {trainer.steps}."]:
        run.log(note)
        display.say(note)
    with Interruption() as interruption, closing(feed), explained_workers():
        return finish(run, trainer, split, display, interruption, epoch)


def same_pictures(run: RunFolder, settings: RunSettings, display: Display) -> Collection:
    """What ``run`` learns from, where it is as it was. Raises :class:`DataError`, which says how to tell of another place, or
    :class:`UsageError` with the difference."""
    try:
        collection = recipe_of(settings.task).open(settings, display.checked)
    except DataError as fault:
        probe = " --probe DATA" if getattr(settings, "probe", None) else ""
        again = f"swinkit {MAKING[settings.task].verb} --resume {resumable(run.path)} DATA{probe}"
        raise DataError(f"{str(fault).rstrip('.')}. If the pictures lie elsewhere by now, say where: {again}") from None
    finally:
        display.end()
    same_data(run.data, collection)
    return collection


def restored(trainer: Trainer, run: RunFolder, checkpoint: Checkpoint | None) -> tuple[list[str], EpochSums]:
    """Put ``trainer`` where ``checkpoint`` stands, None for the beginning; what is to be said of that, and what was seen of the epoch before."""
    notes = [*run.notes, *run.divergences]
    if run.divergences:
        notes.append("The run goes on, but may not end with the same bits as one never stopped.")
    if checkpoint is None:
        return notes, EpochSums()
    trainer.load_state_dict(checkpoint.state)
    # older versions did not save it
    return [*notes, *checkpoint.notes], EpochSums(**checkpoint.state.get("epoch", {}))


def finish(
    run: RunFolder, trainer: Trainer, split: Split, display: Display, interruption: Interruption, epoch: EpochSums | None = None
) -> RunResult:
    """The loop, the choice of weights, and the test; ``epoch`` is what was seen of the epoch before."""
    further = f"Go on with: swinkit {MAKING[trainer.settings.task].verb} --resume {resumable(run.path)}"
    watcher = RunWatcher(run, trainer, display, interruption, epoch)
    display.begin(trainer.progress.step, trainer.steps)
    try:
        reason = trainer.run(watcher, watcher.save)
    finally:
        watcher.close()
    stopped = f"Stopped at step {trainer.progress.step} of {trainer.steps}: {reason}."
    try:
        if reason is None:
            return ended(run, trainer, split, watcher)
        if watcher.out_of_time:
            run.log(stopped)
            display.say(f"{stopped} The model as it is now is measured and kept. {further}")
            result = measure_and_save(run, trainer, split, watcher)
            return replace(result, stopped=f"{stopped} {further}", finished=False)
    except CutShort:
        stopped = f"Stopped at step {trainer.progress.step} of {trainer.steps}: {watcher.stop()}."
    run.log(stopped)
    raise Interrupted(f"{stopped} All is saved. {further}")


def ended(run: RunFolder, trainer: Trainer, split: Split, watcher: RunWatcher) -> RunResult:
    """What the loop came to, at its last step or where it grew no better."""
    here = trainer.progress
    if here.step >= trainer.steps:
        return measure_and_save(run, trainer, split, watcher)
    stopped = f"Stopped early at step {here.step} of {trainer.steps}: no better for {counted(here.stale, 'evaluation')}; best at step {here.best_step}."
    watcher.noted(stopped)
    return replace(measure_and_save(run, trainer, split, watcher), stopped=stopped)


def measure_and_save(run: RunFolder, trainer: Trainer, split: Split, watcher: RunWatcher) -> RunResult:
    """Settle the final weights, measure them, and write the model. Raises :class:`CutShort` at an interruption."""
    model = trainer.average.model
    if trainer.settings.keep == "best" and trainer.progress.best is not None and run.model.exists():
        model.load_state_dict(read_model(run.model).state)
    elif 0 < trainer.progress.best_step < trainer.progress.step:
        watcher.noted(
            f"Kept are the weights as they are now, not those of step {trainer.progress.best_step}, which did best (keep: last)."
        )

    def measured(*pictures: Sequence[int]) -> Meter:
        return trainer.measure(until(watcher.interrupted, trainer.feed.evaluation(*pictures)))

    judged = measured()
    validation = judged.compute()
    test = measured(split.test).compute() if split.test else None
    save_trained(run, trainer, {"metrics": {"validation": validation, "test": test}, **judged.calibration()})
    for name, metrics in (("validation", validation), ("test", test)):
        if metrics:
            watcher.noted(f"{name}: " + ", ".join(f"{key} {value:.4f}" for key, value in metrics.items()))
    return RunResult(
        path=run.path, epochs=trainer.epoch, step=trainer.progress.step, validation=validation, test=test,
        sha256=weights_digest(model.state_dict()), parameters=sum(p.numel() for p in model.parameters()),
    )  # fmt: skip


def make_fabric(settings: RunSettings) -> Fabric:
    """Raises :class:`UsageError` for a device that this machine lacks."""
    device = find_device(settings.device)
    devices: Any = [device.index] if device.index is not None else settings.devices
    precision: Any = settings.precision or "32-true"
    chatter = logging.getLogger("lightning_fabric.utilities.rank_zero")
    chatter.setLevel(logging.WARNING)  # the plan has named the precision, and -q means quiet
    return Fabric(accelerator=device.type, devices=devices, strategy=settings.strategy, precision=precision)


def write_down(run: RunFolder, settings: RunSettings, collection: Collection, beside: Mapping[str, Collection]) -> None:
    """Have config.yaml say where the data of ``run``, ``collection``, lie now, where it computes, and whether it is weighed, and data.json
    the same, and what pictures ``beside`` its own are."""
    data = {**run.data, **files(collection), **{name: identity(pictures) for name, pictures in beside.items()}}
    if data != run.data:
        run.save_data(data)
    told = kept(settings)
    if any(run.config.get(name) != value for name, value in told.items()):
        run.save_config({**run.config, **told})


def kept(settings: RunSettings) -> dict[str, Any]:
    """Of ``settings`` what a run keeps up with when it goes on."""
    return settings.model_dump(include=FOLLOWED) | places(settings)
