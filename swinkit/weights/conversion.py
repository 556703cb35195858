"""A model from one library's format to another's: written beside its place, tried out there, and moved to its place when it is proven."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import __version__
from ..errors import GateError, SwinkitError, UsageError, WeightsError
from . import CERTIFICATE
from .atomic import drafting, sync_folder, write_atomically, write_json
from .certificate import Parity, compare, reference
from .publishing import CARD, model_card
from .saved import Saved, painted_normalise
from .targets import Target, hashes, takers
from .verify import refuse_not_finite


@dataclass(frozen=True)
class Source:
    """Where the model comes from: its name as given, its format, and the SHA-256 of its files."""

    name: str
    format: str
    files: dict[str, str]


@dataclass(frozen=True)
class ConversionPlan:
    """What is converted to what. ``notes`` are sentences about what was changed, left out or assumed on the way."""

    source: Source
    target: Target
    saved: Saved
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conversion:
    """A finished conversion: where it lies, and its certificate as plain values."""

    out: Path
    parity: Parity
    certificate: dict[str, Any]


def convert(plan: ConversionPlan, out: Path, pictures: Tensor, about_pictures: tuple[str, ...]) -> Conversion:
    """Write the model of ``plan`` at ``out`` with a certificate, or nothing at all.

    ``pictures`` (N, C, H, W), normalised, go through the network as it was read and as the target's library makes it of what was
    written; ``about_pictures`` says what they are. The tensors of ``plan.saved`` are let go on the way, so that no more than one copy is
    held while the other network is built. Raises :class:`WeightsError` for what the target cannot express, :class:`GateError` when
    the networks differ.
    """
    place = destination(out, plan.target)
    saved, target = plan.saved, plan.target
    state = expressed(plan)  # before anything is computed, so that a refusal costs nothing
    notes = (*plan.notes, *target_notes(saved, target))
    with _building(place) as folder:
        expected = reference(saved, pictures)
        written = folder if target.folder else folder / place.name
        files = target.write(saved, state, written)
        if target.name == "swinkit":
            write_atomically(folder / CARD, model_card(folder).encode())
        state.clear()
        saved.state.clear()
        with tempfile.TemporaryDirectory(prefix="swinkit-") as scratch:
            parity = compare(expected, target, written, pictures, Path(scratch))
        certificate = {
            "swinkit": __version__, "torch": torch.__version__.partition("+")[0],
            "source": {"name": plan.source.name, "format": plan.source.format, "files": plan.source.files},
            "target": {"format": target.name, "files": hashes(files)},
            "weights_sha256": expected.digest, "configuration": saved.config.model_dump(mode="json"), "classes": len(saved.classes),
            "notes": list(notes), "pictures": list(about_pictures), **parity.to_dict(),
        }  # fmt: skip
        if not parity.same:
            raise GateError(refusal(plan, parity))
        write_json(certificate_of(written), certificate)
        _move(folder, place, target)
    return Conversion(place, parity, certificate)


def check(plan: ConversionPlan) -> tuple[str, ...]:
    """The notes of a conversion that would go through; raises :class:`WeightsError` for what the target cannot express."""
    expressed(plan)
    return (*plan.notes, *target_notes(plan.saved, plan.target))


def expressed(plan: ConversionPlan) -> dict[str, Tensor]:
    """The tensors of ``plan`` as its target names them; raises :class:`WeightsError` with what it cannot express, and which formats can, and
    for what is not finite."""
    refuse_not_finite(plan.saved.state, plan.source.name)
    try:
        return plan.target.state_of(plan.saved)
    except WeightsError as fault:
        able = ", ".join(takers(plan.saved)) or "none, as it is"
        raise WeightsError(f"{fault}\nFormats that can express it: {able}") from None


def destination(out: Path, target: Target) -> Path:
    """``out`` if it may be written; raises :class:`UsageError` where something is, or where a file is given a folder's name."""
    if target.folder and out.suffix in (".pth", ".pt", ".bin", ".safetensors"):
        raise UsageError(
            f"{target.name} is a folder with its description, and {out} is called like a file. Mend: {out.with_suffix('')}"
        )
    if not target.folder and out.suffix not in (".pth", ".pt"):
        raise UsageError(f"{target.name} is one file of PyTorch's. Mend: call it {out.name}.pth")
    for path in [out] if target.folder else [out, out.with_suffix(".json"), certificate_of(out)]:
        if path.exists() or path.is_symlink():
            raise UsageError(f"{path} is there already and is not overwritten. Choose another name, or remove it")
    return out


def certificate_of(written: Path) -> Path:
    """Where the certificate of a folder or file lies."""
    return written / CERTIFICATE if written.is_dir() else written.with_suffix(f".{CERTIFICATE}")


def target_notes(saved: Saved, target: Target) -> tuple[str, ...]:
    """What the target has no place for and the network does not need, or what it holds in another form."""
    notes, config = [], saved.config
    if saved.metadata.get("temperature", 1) != 1 and target.name != "swinkit":
        notes.append(
            f"the temperature {saved.metadata['temperature']:g} of the scores is left out: {target.name} has no place for it"
        )
    if saved.multi_label and target.name == "timm":
        notes.append("that a picture may have several labels is left out: timm has no place for it")
    if saved.preprocessing.resize == "none" and target.name == "timm":
        notes.append("that pictures are taken at their own size is left out: timm has no place for it")
    height, width = saved.preprocessing.size
    if target.library == "transformers" and saved.preprocessing.resize == "shortest" and height != width:
        notes.append("transformers scales by the shorter side alone, so of an oblong picture it sees another part")
    if target.name == "torchvision" and any(config.pretrained_window_sizes):
        notes.append("pre-training windows are baked into relative_coords_table, exactly; torchvision has no argument for them")
    if target.name == "torchvision" and any(config.stage_window(i) != config.window_size for i in range(config.num_stages)):
        notes.append(
            "windows that shrink with the map are built by stage_windows of the .json; torchvision's own builder does not shrink them"
        )
    if "reconstruction.mask_token" in saved.state:
        notes.append("mask token and decoder are compared bit by bit and not run")
        if target.folder and (side := painted_normalise(saved)):
            notes.append(
                f"that its targets were normalised, by {side} pixels around each, is left out: {target.name} has no place for it"
            )
    return tuple(notes)


def refusal(plan: ConversionPlan, parity: Parity) -> str:
    """Why a conversion is not kept."""
    lines = [f"  {one.where}: {one.difference:.3g} of {one.largest:.3g}" for one in parity.differences]
    bits = "" if parity.identical else " The tensors, read back, are not those that were written."
    return (
        f"{plan.source.name} as {plan.target.name}, in {parity.compared_in}, is another network; nothing is kept.{bits} "
        "Largest differences:\n" + "\n".join(lines)
    )


@contextmanager
def _building(place: Path) -> Iterator[Path]:
    """A draft of ``place`` (:func:`~.atomic.drafting`); raises :class:`SwinkitError` where it cannot be written."""
    if not place.absolute().parent.is_dir():
        raise UsageError(f"{place.absolute().parent} is no folder. Mend: make it first")
    try:
        with drafting(place) as folder:
            yield folder
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise SwinkitError(
            f"Could not write {place}: {reason}. Nothing is kept. Mend: free space, or get write permission"
        ) from fault


def _move(folder: Path, place: Path, target: Target) -> None:
    """The finished folder, or its files, to their place: in one step, or with the weights last."""
    if target.folder:
        os.rename(folder, place)
    else:
        moved: list[Path] = []
        try:
            for path in sorted(folder.iterdir(), key=lambda path: path.name == place.name):
                os.rename(path, place.with_name(path.name))
                moved.append(place.with_name(path.name))
        except BaseException:
            for path in moved:
                path.unlink(missing_ok=True)
            raise
    sync_folder(place.absolute().parent)
