"""Everything that decides a training run; None is settled from the data before the first step and written to config.yaml."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ..config import Masking
from ..data.augment import Augmentation
from ..data.fitting import SMALL
from ..preprocessing import Preprocessing
from ..validation import validated

Share = Annotated[float, Field(ge=0, le=1)]
Natural = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # what torch takes
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Minutes = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# a path stays one as text, where "digits" alone would be the bundled set, "swin_t" the variant
Place = Annotated[str, BeforeValidator(lambda given: str(given.absolute()) if isinstance(given, Path) else given)]
LearnedFrom = Literal["nothing", "pictures", "labels"]  # what weights to begin with have seen: pictures alone are SimMIM's
Block = TypeVar("Block", bound=BaseModel)


class Making(NamedTuple):
    """What makes runs of a task: a verb of the command line, and in this package a :class:`~.recipe.Recipe`; ``going_on`` is the function that
    finishes one in Python."""

    verb: str
    recipe: str
    going_on: str


MAKING = {
    "classification": Making("train", "labelled:Labelled", "resume"),
    "pretraining": Making("pretrain", "unlabelled:Unlabelled", "go_on"),
}


class RunSettings(BaseModel):
    """Settings of any run. ``batch_size`` counts pictures per optimiser step, over all devices and ``accumulate`` parts.

    ``model`` is a variant's name, a run or a model folder to start from, or "auto"; ``swin`` replaces fields of its
    architecture. ``ema`` is the decay of the averaged weights, 0 is off. ``layer_decay`` 1 trains all depths alike. ``keep`` says
    whether the weights of the best evaluation or of the last become the model; with ``patience``, the best do by default. What ``augment`` and
    ``preprocessing`` leave out is chosen as if they were not given; an empty ``augment`` is none. ``optimizer`` is described at
    :func:`swinkit.train.optim.build_optimizers`. ``patience`` counts evaluations without improvement, 0 never stops early.
    ``time_limit`` and ``save_every`` are minutes; checkpoints come more often than that where saving is quick. ``cache`` is the share of the free
    memory in which decoded pictures stay from epoch to epoch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    # names of flags, papers and other trainers, for those who write them
    also_called: ClassVar[Mapping[str, str]] = {
        "base_lr": "lr",
        "drop_path_rate": "drop_path",
        "ema_decay": "ema",
        "grad_clip": "clip_grad",
        "init": "model",
        "learning_rate": "lr",
        "window_size": "swin.window_size",
    }

    task: str
    data: Place | None = None
    format: str | None = None
    val: Annotated[float, Field(gt=0, lt=1)] | None = None
    seed: Seed = 0

    model: Place = "auto"
    image_size: Positive | tuple[Positive, Positive] | None = None
    swin: dict[str, Any] | None = None
    preprocessing: Preprocessing | None = None

    epochs: Positive | None = None
    batch_size: Positive | None = None
    accumulate: Positive = 1
    optimizer: Literal["adamw", "muon"] | None = None
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    weight_decay: NotNegative = 0.05
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None
    warmup_epochs: NotNegative | None = None
    clip_grad: NotNegative = 5.0
    ema: Annotated[float, Field(ge=0, lt=1)] | None = None
    drop_path: Annotated[float, Field(ge=0, lt=1)] | None = None
    augment: Augmentation | None = None

    keep: Literal["best", "last"] | None = None
    patience: Natural = 0
    time_limit: Minutes | None = None
    save_every: Minutes = 5.0

    device: str = "auto"
    devices: Positive = 1
    strategy: str = "auto"
    precision: Literal["32-true", "bf16-mixed"] | None = None
    threads: Positive | None = None
    workers: Natural | None = None
    cache: Share = 0.25
    tensorboard: bool = True

    @model_validator(mode="after")
    def _one_device(self) -> Self:
        if self.devices > 1:
            raise ValueError(f"devices={self.devices}: a run uses one device so far. Mend: leave devices out")
        if self.strategy != "auto":
            raise ValueError(
                f"strategy={self.strategy}: is for several devices, and a run uses one so far. Mend: leave strategy out"
            )
        return self


Kind = TypeVar("Kind", bound=RunSettings)


class TrainSettings(RunSettings):
    """Settings of a training with labels.

    ``mixup`` and ``cutmix`` are the alpha of their Beta distribution, 0 is off. ``folds`` cuts the pictures into that many and
    validates on number ``fold``, from 0, the first if None, for sets too small to part once. ``per_class`` trains on so few pictures of each class, for
    experiments. ``fit_head`` begins with the head that suits the encoder's features as they are, where the head is new.
    """

    task: Literal["classification"] = "classification"
    test: Annotated[float, Field(ge=0, lt=1)] = 0.0
    per_class: Positive | None = None
    folds: Annotated[int, Field(ge=2)] | None = None
    fold: Natural | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    mixup: NotNegative | None = None
    cutmix: NotNegative | None = None
    class_weights: bool | None = None
    fit_head: bool | None = None

    @model_validator(mode="after")
    def _fold_of_folds(self) -> Self:
        if self.fold and self.fold >= (self.folds or 1):
            among = (
                f"of folds={self.folds} the last is {self.folds - 1}"
                if self.folds
                else "it is one of folds, which are not given"
            )
            raise ValueError(f"fold={self.fold}: {among}. Mend: for instance folds=5 and fold=0, the first of them")
        return self


class PretrainSettings(RunSettings):
    """Settings of a pre-training without labels; what is hidden is described at :class:`~swinkit.config.Masking`.

    ``probe`` is a labelled set on which the features are measured every ``probe_every`` epochs, and, where ``verdict`` is on, the
    pre-training is weighed at the end.
    """

    also_called: ClassVar[Mapping[str, str]] = {
        **RunSettings.also_called,
        "mask_cell": "cell",
        "mask_patch_size": "cell",
        "mask_ratio": "ratio",
    }

    task: Literal["pretraining"] = "pretraining"
    cell: Positive | None = None
    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.6
    sparse: bool = False
    covered: Annotated[float, Field(ge=0, lt=1)] = 0.25
    normalise: Natural = 0
    probe: Place | None = None
    probe_every: Positive | None = None
    verdict: bool = True

    @property
    def masking(self) -> Masking:
        """What is hidden, once ``cell`` is settled."""
        return validated(Masking, {name: getattr(self, name) for name in Masking.model_fields})


@dataclass(frozen=True)
class DataFacts:
    """What the defaults depend on. ``side`` is the longer side of what the model sees, in pixels; ``skew`` the largest class
    divided by the smallest; ``gray`` pictures have no colour, whatever they are stored as."""

    pictures: int
    validation: int
    side: int
    channels: int
    skew: float = 1.0
    gray: bool = False


def settle(settings: TrainSettings, facts: DataFacts, learned_from: LearnedFrom) -> TrainSettings:
    """``settings`` with every None that the data decides replaced; what is given stays as it is.

    An encoder that learned from pictures alone is trained as long and with as much mixing as one from nothing, since it has no idea of
    classes yet; only that rates fall towards its first layer, as in SimMIM (arXiv 2111.09886, section 4.1), and that the head is fitted
    first.
    """
    fine_tuning = learned_from == "labels"
    settings = scheduled(settings, facts, default_epochs(facts.pictures, fine_tuning), warmup=5.0)
    small, scarce = facts.side <= SMALL, facts.pictures < 5000
    rate = default_rate(settings, facts.side, fine_tuning)
    return filled(
        settings,
        {
            "lr": rate * (2 if small and learned_from == "pictures" else 1),
            "layer_decay": default_layer_decay(learned_from, small),
            "label_smoothing": 0.1,
            "mixup": 0.2 if scarce and not fine_tuning else 0.0,
            "cutmix": 1.0 if scarce and not fine_tuning else 0.0,
            "drop_path": 0.05 if small else 0.1,
            "class_weights": facts.skew > 3,
            "fit_head": learned_from == "pictures",
            "keep": "best" if facts.validation >= 1000 else "last",
        },
        default_augmentation(facts, fine_tuning),
    )


def scheduled(settings: Kind, facts: DataFacts, epochs: int, warmup: float) -> Kind:
    """``settings`` with what every training settles alike: ``epochs`` if none are given, the batch, the optimiser, how far weights are
    averaged, and a rise of the rate over a tenth of the epochs, at most ``warmup`` of them."""
    epochs = settings.epochs or epochs
    batch_size = min(settings.batch_size or default_batch_size(facts.pictures), facts.pictures)
    steps = epochs * max(1, facts.pictures // batch_size)
    chosen: dict[str, Any] = {
        "epochs": epochs,
        "optimizer": "muon" if facts.side <= SMALL else "adamw",
        "warmup_epochs": round(max(min(epochs / 10, warmup), 0.1), 2),
        "ema": round(1 - 1 / max(10, min(5000, steps / 20)), 5),
    }
    return filled(settings.model_copy(update={"batch_size": batch_size}), chosen)


def filled(settings: Kind, chosen: Mapping[str, Any], augment: Augmentation | None = None) -> Kind:
    """``settings`` with each None that is among the ``chosen`` replaced, and what they leave open of the augmentation as in ``augment``.

    An empty augmentation is none. Whoever stops early means the weights of before the stop.
    """
    if settings.patience:
        chosen = {**chosen, "keep": "best"}
    missing = {key: value for key, value in chosen.items() if getattr(settings, key) is None}
    if augment is not None and (settings.augment is None or settings.augment.model_fields_set):
        missing["augment"] = completed(settings.augment, lambda: augment)
    return settings.model_copy(update=missing)


def completed(given: Block | None, default: Callable[[], Block]) -> Block:
    """``given`` with its unset fields taken from ``default()``, which is called only if some are unset."""
    if given is not None and given.model_fields_set == type(given).model_fields.keys():
        return given
    whole = default()
    if given is None:
        return whole
    return validated(type(whole), {**whole.model_dump(), **given.model_dump(include=given.model_fields_set)})


def default_epochs(pictures: int, fine_tuning: bool) -> int:
    """300 passes over 300 pictures, 30 over 60,000: small sets need many steps, large ones bring them along."""
    epochs = 300 * (300 / max(1, pictures)) ** 0.435
    return max(5, min(100, round(epochs / 4))) if fine_tuning else max(20, min(300, round(epochs)))


def default_batch_size(pictures: int) -> int:
    """A power of two from 8 to 128 that gives at least eight steps per epoch."""
    return 2 ** int(min(7, max(3, math.log2(max(1, pictures / 8)))))


def default_layer_decay(learned_from: LearnedFrom, small: bool) -> float:
    """SimMIM's encoders are spared most. A small classifier's stem has little that is worth sparing."""
    if learned_from == "pictures":
        return 0.75
    return 0.8 if learned_from == "labels" and not small else 1.0


def default_rate(settings: RunSettings, side: int, fine_tuning: bool) -> float:
    """Peak learning rate for the optimiser and batch of ``settings``: given for 128 pictures a step, it grows with the root of the batch."""
    if settings.optimizer == "muon":
        base = 4e-3
    elif side <= SMALL:
        base = 1e-3 if fine_tuning else 1.5e-3
    else:
        base = 2.5e-4 if fine_tuning else 1e-3
    return float(f"{base * math.sqrt((settings.batch_size or 128) / 128):.3g}")


def default_augmentation(facts: DataFacts, fine_tuning: bool) -> Augmentation:
    """Shifts for small pictures; crops, mirror images and RandAugment for photographs."""
    if facts.side <= SMALL:
        return Augmentation(flip=facts.channels == 3 and not facts.gray, shift=max(1, facts.side // 14), erasing=0.25)
    low = 0.5 if fine_tuning or facts.pictures < 5000 else 0.25
    channels = facts.channels in (1, 3)
    magnitude = (5 if fine_tuning else 9) if channels else 0
    return Augmentation(flip=True, crop_scale=(low, 1.0), randaugment=magnitude, erasing=0.25)
