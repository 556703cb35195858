"""swinkit's own model format: a folder with ``model.safetensors`` and ``config.json``. Nothing in it can run code.

``config.json`` says what the tensors are: format, task, architecture, classes, preprocessing, SHA-256 of the weights. A file that
does not agree with its description in every name, shape, type and byte is refused, with all differences in one message.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load, save
from torch import Tensor, nn

from .. import __version__
from ..config import Masking, SwinConfig
from ..errors import SwinkitError, UsageError, WeightsError
from ..model.classifier import SwinClassifier
from ..model.simmim import SimMIM
from ..preprocessing import Preprocessing
from . import BUNDLE, CERTIFICATE, DESCRIPTION, RUN, WEIGHTS
from .atomic import sha256_of, sweep_stale, write_atomically, write_json
from .attached import attached
from .bare import bare
from .named import find_place
from .safety import check_pointer
from .saved import Saved
from .verify import ShapesOnly, Signature, differences, not_finite, read_header, refuse, refuse_not_finite, signatures

FORMAT = 1


class WeightsEntry(BaseModel):
    """The manifest of ``model.safetensors``."""

    bytes: int
    sha256: str


class Description(BaseModel):
    """What ``config.json`` holds. Unknown keys (``metrics``, ``temperature``, …) are kept and handed on.

    ``masking`` says what a network that was pre-trained without labels hid, and that it still has what it painted with.
    ``replaces`` is there only while a model is being replaced by another: it describes the weights that still lie there.
    """

    model_config = ConfigDict(extra="allow")

    format: int
    swinkit: str
    task: str
    swin: SwinConfig
    classes: tuple[str, ...]
    multi_label: bool
    preprocessing: Preprocessing
    weights: WeightsEntry
    masking: Masking | None = None
    replaces: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class ModelFile(Saved):
    """A verified model of the own format: ``metadata`` is the rest of what ``config.json`` says, ``sha256`` that of its weights."""

    path: Path
    task: str
    sha256: str


def save_model(
    model: nn.Module, folder: str | Path, *, classes: Sequence[str] | None = None, preprocessing: Preprocessing | None = None,
    task: str = "classification", multi_label: bool = False, extra: Mapping[str, Any] | None = None,
) -> Path:  # fmt: skip
    """Write ``model``, which has a ``config``, into ``folder``; killed at any moment, the old or the new one can be read.

    ``classes`` and ``preprocessing`` default to the attributes of that name that loading leaves on a model, then to numbers
    and to the default at the configured size. ``extra`` goes into ``config.json`` beside the rest. Raises
    :class:`UsageError` when the number of classes, or the channels of the preprocessing, are not the model's, :class:`WeightsError` when its tensors are not those of its
    configuration or not finite, so that they could not be read again, :class:`SwinkitError` when the disk refuses.
    """
    model = bare(model)
    config, state = config_of(model), model.state_dict()
    refuse_not_finite(state, "this model")
    content = serialise(state)
    made = Description(
        format=FORMAT,
        swinkit=__version__,
        task=task,
        swin=config,
        classes=_classes(model, config.num_classes, classes),
        multi_label=multi_label,
        preprocessing=preprocessing or attached(model).preprocessing or default_preprocessing(config),
        weights=WeightsEntry(bytes=len(content), sha256=hashlib.sha256(content).hexdigest()),
        masking=getattr(model, "masking", None),
        **(extra or {}),
    )
    refuse(differences(_expected(made), signatures(state)), "this model")
    if (prepared := made.preprocessing.channels) != config.in_channels:
        raise UsageError(
            f"The model takes {config.in_channels} channels, and its preprocessing makes {prepared}. Mend: a preprocessing of as many channels"
        )
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise SwinkitError(f"Could not make the folder {folder}: {fault.strerror}. Mend: save into another one") from fault
    sweep_stale(folder)
    described = made.model_dump(mode="json", exclude_none=True)
    present = _present_description(folder)
    # two files cannot be renamed at once: for that moment both descriptions stand, and whose the folder is can be read from the first
    write_json(folder / DESCRIPTION, {**described, "replaces": present} if present else described)
    write_atomically(folder / WEIGHTS, content)
    if present:
        write_json(folder / DESCRIPTION, described)
    return folder


def check_replaceable(folder: str | Path) -> None:
    """Raises :class:`UsageError` where saving into ``folder`` would destroy something else than an earlier model saved there.

    Other files may lie in it, as a script's own log does; not those of a run or an exported bundle, nor another library's model.
    """
    folder = Path(folder)
    real = folder.resolve()
    run = next((place for place in (real, real.parent) if all((place / name).is_file() for name in RUN)), None)
    reason = None
    if os.path.lexists(folder) and not folder.is_dir():
        reason = "is there already and is no folder"
    elif run and (real == run or real.name == "model"):
        reason = f"belongs to the run {run}, which is never overwritten"
    elif (folder / BUNDLE).exists():
        reason = "is an exported bundle, which is not overwritten"
    elif (folder / CERTIFICATE).exists():
        reason = f"is a conversion, whose {CERTIFICATE} would speak of other weights"
    elif not _holds_own(folder) and (found := [name for name in (WEIGHTS, DESCRIPTION) if os.path.lexists(folder / name)]):
        reason = f"holds {' and '.join(found)} that swinkit did not save as a model, and they are not overwritten"
    if reason:
        raise UsageError(f"{folder} {reason}. Mend: save into another folder")


def _holds_own(folder: Path) -> bool:
    """Whether the description of a model of ours lies in ``folder``, of whatever version, even if its weights are damaged."""
    try:
        described = json.loads((folder / DESCRIPTION).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(described, dict) and {"format", "swinkit", "swin"} <= described.keys()


def read_model(path: str | Path) -> ModelFile:
    """Read and verify a model of the own format: a run, a model folder, or its ``model.safetensors``.

    The file's size, SHA-256 and header are compared, the last with the network that the description says, before a tensor is
    made, and every value must be finite. Raises :class:`WeightsError`.
    """
    folder = find_model(path)
    weights, described = folder / WEIGHTS, _read_description(folder)
    content = _read_sized(weights, described)
    described = _matching(described, hashlib.sha256(content).hexdigest(), weights)
    refuse(differences(_expected(described), read_header(weights)), weights)
    state = load(content)
    refuse(not_finite(state), weights)
    return ModelFile(
        path=folder,
        task=described.task,
        config=described.swin,
        classes=described.classes,
        multi_label=described.multi_label,
        preprocessing=described.preprocessing,
        sha256=described.weights.sha256,
        state=state,
        masking=described.masking,
        metadata={**(described.model_extra or {}), "swinkit": described.swinkit},
    )


def _expected(described: Description) -> dict[str, Signature]:
    """What the weights must be."""
    with ShapesOnly():
        network = SimMIM(described.swin, described.masking) if described.masking else SwinClassifier(described.swin)
    return signatures(network.state_dict())


def find_model(path: str | Path) -> Path:
    """The model folder meant by ``path``: a run (its ``model/``), the folder itself, a file in it, or a bundled model's name.

    Raises :class:`UsageError` where nothing is there, or an exported bundle; :class:`WeightsError` where no model is.
    """
    path = find_place(path)
    folder = path if path.is_dir() else path.parent
    if path.is_file() and path.name not in (WEIGHTS, DESCRIPTION):
        raise WeightsError(f"{path} is not of swinkit's own format. Expected a folder with {WEIGHTS} and {DESCRIPTION}")
    for candidate in (folder, folder / "model"):
        if (candidate / DESCRIPTION).is_file() and (candidate / WEIGHTS).is_file():
            return candidate
    if (folder / BUNDLE).is_file():
        raise UsageError(
            f"{path} is an exported bundle: a graph, of which no network is made. Mend: swinkit verify {shlex.quote(str(path))} checks it, "
            "predict, evaluate and bench take it; otherwise name the model that it was exported from"
        )
    within = sorted(str(place.parents[1]) for place in folder.glob(f"*/model/{WEIGHTS}"))  # as of a cross-validation
    mend = f"Below it are models: {', '.join(within[:5])}" if within else "A run has them once its first evaluation is done"
    raise WeightsError(f"{path} holds no model: expected {WEIGHTS} and {DESCRIPTION} in it or in its folder model/. {mend}")


def serialise(state: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """safetensors bytes of ``state``; equal tensors give equal bytes, whatever their device or memory layout."""
    separate, storages = {}, set()
    for name, tensor in state.items():
        tensor = tensor.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        whole = storage.nbytes() == tensor.nbytes and storage.data_ptr() not in storages
        storages.add(storage.data_ptr())
        separate[name] = tensor if whole else tensor.clone()  # safetensors refuses tensors that share memory
    return save(separate, metadata or {"format": "pt"})


def config_of(model: nn.Module) -> SwinConfig:
    """The configuration that a model of swinkit carries; raises :class:`UsageError` for another module."""
    config = getattr(model, "config", None)
    if not isinstance(config, SwinConfig):
        raise UsageError(
            f"Expected a model made by swinkit, which carries its configuration, got {type(model).__name__}. Mend: give the model inside it"
        )
    return config


def _classes(model: nn.Module, count: int, classes: Sequence[str] | None) -> tuple[str, ...]:
    names = classes if classes is not None else attached(model).classes
    if names is None:
        return tuple(str(index) for index in range(count))
    if len(names) != count:
        raise UsageError(f"The model has {count} outputs, but {len(names)} classes were given; give one name per output")
    return tuple(map(str, names))


def default_preprocessing(config: SwinConfig) -> Preprocessing:
    """Scaled and cut as ImageNet is; other channels than three around one half."""
    if config.in_channels == 3:
        return Preprocessing(size=config.image_size)
    half = (0.5,) * config.in_channels
    return Preprocessing(size=config.image_size, channels=config.in_channels, mean=half, std=half)


def _read_description(folder: Path) -> Description:
    path = folder / DESCRIPTION
    try:
        return _parse(json.loads(path.read_bytes()), path)
    except (OSError, ValueError, RecursionError) as fault:
        raise WeightsError(f"{path} cannot be read as a model description: {fault}. Mend: restore it from a copy") from None


def _parse(value: Any, path: Path) -> Description:
    found = value.get("format") if isinstance(value, dict) else None
    if found != FORMAT:
        raise WeightsError(f"{path} is not of format {FORMAT}, but {found!r}. Mend: use the version of swinkit that wrote it")
    try:
        return Description.model_validate(value)
    except ValidationError as fault:
        lines = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in fault.errors()]
        raise WeightsError(f"{path} does not describe a model:\n" + "\n".join(f"  {line}" for line in lines)) from None


def _alternatives(described: Description, path: Path) -> list[Description]:
    return [described, *([_parse(described.replaces, path)] if described.replaces else [])]


def _read_sized(weights: Path, described: Description) -> bytes:
    sizes = [one.weights.bytes for one in _alternatives(described, weights)]
    size = weights.stat().st_size
    if size not in sizes:
        check_pointer(weights)
        raise WeightsError(f"{weights} has {size:,} bytes, expected {sizes[0]:,}. It was cut or exchanged; mend: copy it again")
    return weights.read_bytes()


def _matching(described: Description, sha256: str, weights: Path) -> Description:
    for one in _alternatives(described, weights):
        if one.weights.sha256 == sha256:
            return one
    raise WeightsError(
        f"{weights} is damaged: expected SHA-256 {described.weights.sha256}, got {sha256}. Mend: restore both files from a copy"
    )


def _present_description(folder: Path) -> dict[str, Any] | None:
    """Description of the intact model that lies in ``folder`` now, if there is one."""
    try:
        described = _read_description(folder)
        one = _matching(described, sha256_of(folder / WEIGHTS), folder / WEIGHTS)
    except (WeightsError, OSError):
        return None
    return one.model_dump(mode="json", exclude={"replaces"})
