"""What can be learned, and the models for it. Each task brings its batch form, loss, metrics and decoding in its own file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from torch import Tensor, nn

from ..config import SwinConfig, height_and_width
from ..errors import UsageError, WeightsError
from ..lazy import submodules
from ..model.classifier import SwinClassifier
from ..preprocessing import Preprocessing
from ..results import Classification, Failure
from ..variants import configure
from ..weights.attached import attached
from ..weights.bare import bare
from ..weights.files import check_replaceable, read_model, save_model
from ..weights.foreign import is_foreign, open_foreign
from ..weights.hub import Located, locate
from ..weights.saved import Saved, at_other_size, fitted, handed_over, lasting

_, __getattr__ = submodules(__name__, __path__)  # the modules of tasks, each imported when it is first named


class Parts(NamedTuple):
    """Where the parts of a task are: what the training loop asks, and what reads a network's outputs as answers, if it has any."""

    learning: str
    decoder: str | None = None


TASKS = {
    "classification": Parts("classification:ClassificationTask", "classification:ClassificationDecoder"),
    "pretraining": Parts("pretraining:PretrainingTask"),
}


class Meter(Protocol):
    """Gathers predictions over an evaluation and sums them up."""

    def update(self, model: nn.Module, batch: Any) -> None: ...

    def compute(self) -> dict[str, float]: ...

    def calibration(self) -> dict[str, float]:
        """What the predictor needs for scores that mean what they say, fitted to these predictions; stored with the model."""


class Task(Protocol):
    """What the training loop asks of a task. A batch has a length, ``indices`` (B,) and ``to(device)``, and can
    be sliced, before ``mix`` and after it.

    ``monitor`` names the metric that decides which weights are best, and whether it shall be high or low. ``mix`` turns a
    loader's batch into one for ``loss``; what it draws, it draws from torch's global generator.
    """

    name: str
    classes: tuple[str, ...]
    multi_label: bool

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]: ...

    def mix(self, batch: Any) -> Any: ...

    def loss(self, model: nn.Module, batch: Any) -> Tensor: ...

    def meter(self) -> Meter: ...


class Decoder(Protocol):
    """What the predictor asks of a task: outputs of a network as answers, one per picture, in the order of ``sources``, their names.

    Its ``repr`` tells apart what answers differently to the same outputs.
    """

    classes: tuple[str, ...]
    multi_label: bool

    def __call__(
        self, outputs: Any, sources: Sequence[str | None], embeddings: Sequence[Sequence[float]] | None = None
    ) -> Sequence[Classification | Failure]: ...


def find_task(name: str) -> Any:
    """The class of task ``name``; raises :class:`UsageError` listing the known ones."""
    if name not in TASKS:
        raise UsageError(f"There is no task {name!r}. Known: {', '.join(TASKS)}.")
    return _part(TASKS[name].learning)


def decoder_of(model: nn.Module) -> Decoder:
    """What reads the outputs of ``model``, by its attribute ``task`` (classification, if it has none) and what else loading leaves on it.

    Raises :class:`UsageError` for a model that has no answers to give.
    """
    part = TASKS[attached(model).task].decoder
    if part is None:
        raise UsageError("A network that was pre-trained without labels gives no answers. Mend: swinkit train DATA --init RUN")
    return _part(part).of(model)


def _part(place: str) -> Any:
    module, attribute = place.split(":")
    return getattr(import_module(f"{__name__}.{module}"), attribute)


def create_model(
    name: str, num_classes: int | None = None, in_channels: int = 3, image_size: int | tuple[int, int] | None = None,
    **overrides: Any,
) -> SwinClassifier:  # fmt: skip
    """A classifier of variant ``name`` with fresh weights; ``overrides`` replace fields of :class:`~swinkit.SwinConfig`.

    What is not given is the variant's. Raises :class:`UsageError` for an unknown name or an impossible configuration.
    """
    if "pretrained" in overrides:  # timm's and torchvision's way
        raise UsageError(
            'create_model gives fresh weights. Mend: swinkit.load("hf-hub:microsoft/swin-tiny-patch4-window7-224")'
        )
    chosen = {"num_classes": num_classes, "image_size": image_size}
    given = {key: value for key, value in chosen.items() if value is not None}
    return SwinClassifier(configure(name, in_channels=in_channels, **given, **overrides))


def load(
    path: str | Path | Located, variant: str | None = None, image_size: int | tuple[int, int] | None = None
) -> SwinClassifier:
    """The model in a run, a folder or a file, of swinkit's own format or of another library, in evaluation mode.

    A name such as "hf-hub:org/name" or the address of a file is fetched once; see :mod:`~swinkit.weights.hub`.

    It has ``task``, ``classes``, ``multi_label``, ``preprocessing`` and ``metadata`` (what else its file says) as attributes. ``image_size``
    settles the windows for another size than the saved one; where a stage gets another window, its position bias is interpolated as the
    weights' origin does it (:mod:`~swinkit.weights.resize`), and ``metadata["doubts"]`` says so. ``variant`` tells what a file of another
    library does not record (Swin V2's window). Raises :class:`WeightsError` for a damaged file or one that is not what it is taken for, :class:`UsageError` for what cannot be meant.
    """
    file = open_saved(path, variant, image_size)
    model = SwinClassifier(file.config)
    if "norm.weight" not in file.state:
        raise WeightsError(
            f"{path} holds a backbone without its last norm, of which no classifier can be made. "
            "Mend: take the checkpoint of the whole network, before a detector was made of it"
        )
    model.load_state_dict({name: file.state[name] for name in model.state_dict()})
    model.metadata, model.task = dict(file.metadata), "pretraining" if file.masking else "classification"  # type: ignore[assignment]
    return described(model, file.classes, file.preprocessing, file.multi_label).eval()


def open_saved(
    path: str | Path | Located, variant: str | None = None, image_size: int | tuple[int, int] | None = None,
    *, unrecorded: tuple[int, int] | None = None, backbone: bool = False,
) -> Saved:  # fmt: skip
    """What :func:`load` makes a model of: fetched if ``path`` is a name that says so, verified, converted, at ``image_size``.

    ``unrecorded`` is the size at which an unpublished network was trained, for a file that does not say so; by default ``image_size``.
    With ``backbone``, what a file of another library holds beside the backbone is left out, whatever it is.
    """
    return fitted(open_unfitted(path, variant, image_size, unrecorded=unrecorded, backbone=backbone))


def open_unfitted(
    path: str | Path | Located, variant: str | None = None, image_size: int | tuple[int, int] | None = None,
    *, unrecorded: tuple[int, int] | None = None, backbone: bool = False,
) -> Saved:  # fmt: skip
    """As :func:`open_saved`, but the position information is as it was trained, for those who fit it to yet other windows."""
    located = locate(path)
    if is_foreign(located.path):
        wanted = None if image_size is None else height_and_width(image_size)
        file = open_foreign(located.path, variant or located.variant, unrecorded or wanted, backbone=backbone)
        file = replace(file, preprocessing=located.preprocessing or file.preprocessing)
    else:
        file = read_model(located.path)
        if variant is not None:
            check_variant(path, variant, file.config)
    if file.masking is not None:
        return handed_over(file, height_and_width(file.config.image_size if image_size is None else image_size))
    return file if image_size is None else at_other_size(file, height_and_width(image_size))


def check_variant(path: str | Path | Located, variant: str, config: SwinConfig) -> None:
    """Raises :class:`UsageError` where the network of ``config`` in ``path`` is not one of ``variant``, whatever its window and size."""
    wanted = configure(variant)
    apart = [name for name in ("version", "embed_dim", "depths", "num_heads") if getattr(wanted, name) != getattr(config, name)]
    if apart:
        told = ", ".join(f"{name} {getattr(config, name)} and not {getattr(wanted, name)}" for name in apart)
        raise UsageError(f"{path} holds no {variant}: {told}. Mend: leave variant out")


def described(
    model: SwinClassifier, classes: Sequence[str], preprocessing: Preprocessing, multi_label: bool = False
) -> SwinClassifier:
    """``model`` with what it cannot do without in use, as attributes; returns it."""
    model.classes, model.preprocessing, model.multi_label = tuple(classes), preprocessing, multi_label  # type: ignore[assignment]
    return model


def save(model: SwinClassifier, folder: str | Path) -> Path:
    """Write ``model`` as model.safetensors and config.json, with classes, preprocessing and temperature if it knows them.

    It may be as it stands in training: compiled, in DDP or in ``torch.optim.swa_utils.AveragedModel``; not in shards of FSDP. A model
    that was saved in ``folder`` before is replaced; killed at any moment, the old or the new one can be read. Raises
    :class:`UsageError`, and leaves all as it is, where ``folder`` belongs to a run or holds something else that would be overwritten.
    """
    check_replaceable(folder)
    left = attached(bare(model))
    known = {
        "temperature": left.temperature if left.temperature != 1 else None,
        "resizing": lasting(left.metadata).get("resizing"),
    }
    known = {name: value for name, value in known.items() if value is not None}
    return save_model(model, folder, multi_label=left.multi_label, extra=known)
