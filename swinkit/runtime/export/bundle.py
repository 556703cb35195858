"""An exported model as a folder: the graph, golden pictures and answers, and ``bundle.json``, which says what they are.

Nothing in it can run code, and nothing outside of it is read: files are plain ones inside the folder, of the size and SHA-256 that
``bundle.json`` names, and an ONNX graph carries its weights itself. Free of torch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ... import __version__
from ...config import SwinConfig
from ...errors import GateError, SwinkitError, UsageError, WeightsError
from ...preprocessing import Preprocessing
from ...weights import BUNDLE
from ...weights.atomic import check_absent, drafting, sync_folder, write_atomically, write_json
from .golden import Golden, Size, normalise, pixels, spelled
from .protobuf import refuse_outside_data

FORMAT = 1
MANIFEST, GOLDEN, DIGEST = BUNDLE, "golden.safetensors", "digest"

Distance = Annotated[float, Field(ge=0, allow_inf_nan=False)]  # of a logit from the golden one
Target = Literal["onnx", "openvino", "torch"]
GRAPHS: dict[Target, tuple[str, ...]] = {
    "onnx": ("model.onnx",),
    "openvino": ("model.xml", "model.bin"),
    "torch": ("model.pt2",),
}


class FileEntry(BaseModel):
    bytes: int
    sha256: str


class Input(BaseModel):
    """What the graph takes: normalised float32 pictures (B, C, H, W), or with preprocessing inside uint8 ones in ``layout``."""

    name: str = "images"
    dtype: Literal["float32", "uint8"] = "float32"
    layout: Literal["NCHW", "NHWC"] = "NCHW"

    def arrange(self, pictures: Any, preprocessing: Preprocessing) -> Any:
        """Pictures (B, H, W, C) uint8 of the model's size as this input."""
        if self.dtype == "float32":
            return normalise(pictures, preprocessing)
        return pictures if self.layout == "NHWC" else pictures.transpose(0, 3, 1, 2).copy()

    def from_normalised(self, images: Any, preprocessing: Preprocessing) -> Any:
        """Normalised pictures (B, C, H, W) float32 as this input; uint8 pixels come back as they were before normalisation."""
        return images if self.dtype == "float32" else self.arrange(pixels(images, preprocessing), preprocessing)


class Manifest(BaseModel):
    """What ``bundle.json`` holds. The graph answers with logits (B, K); divided by ``temperature`` they are calibrated. Of a network without
    classes its ``output`` are the features (B, C) instead.

    ``tolerance`` is how far an answer may be from the golden one, at a size that ``tolerances`` names as ``HxW`` no further than that one;
    ``checks`` what was measured when the bundle was made, ``int8`` what quantisation cost and brought, ``learned_from`` what the model says
    of what it learned from.
    """

    model_config = ConfigDict(extra="allow")

    format: int = FORMAT
    swinkit: str = __version__
    target: Target
    precision: Literal["float32", "int8"] = "float32"
    task: Literal["classification", "pretraining"] = "classification"
    swin: SwinConfig
    classes: tuple[str, ...]
    multi_label: bool = False
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    preprocessing: Preprocessing
    input: Input = Input()
    output: str = "logits"
    tolerance: Distance = 1e-4
    tolerances: dict[str, Distance] = {}
    files: dict[str, FileEntry] = {}
    checks: list[dict[str, Any]] = []
    int8: dict[str, Any] | None = None
    learned_from: dict[str, Any] | None = None

    def tolerance_at(self, size: Size) -> float:
        """How far a logit for a picture of ``size`` may be from the golden one."""
        return self.tolerances.get(spelled(size), self.tolerance)


class Refused(GateError):
    """A graph that is not kept for its answers; ``manifest`` says of it what ``bundle.json`` would have said."""

    def __init__(self, message: str, manifest: Manifest) -> None:
        super().__init__(message)
        self.manifest = manifest


@dataclass(frozen=True)
class Bundle:
    """A bundle whose every byte is what its manifest says; ``files`` are the graph's, in the order of :data:`GRAPHS`. One that was made just now
    has by name the ``seconds`` that the parts of its export took.
    """

    path: Path
    manifest: Manifest
    golden: Golden = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)
    seconds: Mapping[str, float] = field(default_factory=dict)


def is_bundle(path: str | Path) -> bool:
    """Whether ``path`` names an exported bundle, perhaps one that lacks its manifest, rather than another kind of model."""
    return any((Path(path) / name).is_file() for name in (MANIFEST, GOLDEN))


def open_bundle(path: str | Path) -> Bundle:
    """Read and verify the bundle in folder ``path``, without running its graph. Raises :class:`WeightsError`, and :class:`UsageError` when there is none."""
    folder = Path(path)
    manifest = _read_manifest(folder)
    wanted = {*GRAPHS[manifest.target], GOLDEN}
    if set(manifest.files) != wanted:
        raise WeightsError(f"{folder / MANIFEST} lists {sorted(manifest.files)}, expected {sorted(wanted)}")
    contents = {name: _read_file(folder / name, entry) for name, entry in manifest.files.items()}
    if manifest.target == "onnx":
        refuse_outside_data(contents["model.onnx"], folder / "model.onnx")
    try:
        golden = Golden.from_bytes(contents.pop(GOLDEN))
    except Exception as fault:  # safetensors raises a class of its own that derives from nothing narrower
        raise WeightsError(f"{folder / GOLDEN} does not hold golden pictures and answers: {fault}") from None
    return Bundle(folder, manifest, golden, {name: contents[name] for name in GRAPHS[manifest.target]})


def write_bundle(folder: Path, manifest: Manifest, graph: Mapping[str, bytes], golden: Golden) -> Bundle:
    """Write a bundle's files into ``folder``, each whole and synced, and read it back as anybody would."""
    contents = {**graph, GOLDEN: golden.to_bytes()}
    hashes = {name: write_atomically(folder / name, content) for name, content in contents.items()}
    files = {name: FileEntry(bytes=len(contents[name]), sha256=hashes[name]) for name in contents}
    describe(folder, manifest.model_copy(update={"files": files}))
    return open_bundle(folder)


def describe(folder: Path, manifest: Manifest) -> None:
    """Write ``bundle.json``, sealed by its own digest."""
    told = manifest.model_dump(mode="json")
    write_json(folder / MANIFEST, {**told, DIGEST: digest(told)})


def digest(told: Mapping[str, Any]) -> str:
    """SHA-256 of what ``bundle.json`` says beside its digest. It finds what was edited or merged, not who forges it too."""
    sealed = {name: value for name, value in told.items() if name != DIGEST}
    return hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest()


@contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """A draft (:func:`~swinkit.weights.atomic.drafting`) of ``folder`` that takes its name when the block ends well.

    Raises :class:`UsageError` when ``folder`` is there already.
    """
    check_absent(folder)
    with ExitStack() as stack:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            draft = stack.enter_context(drafting(folder))
        except OSError as fault:
            raise SwinkitError(f"Could not write into {folder.parent}: {fault.strerror}. Mend: choose another --out") from None
        yield draft
        _name(draft, folder)
        sync_folder(folder.parent)


def _name(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError as fault:
        if not os.path.lexists(folder):
            raise
        raise UsageError(f"{folder} appeared meanwhile and is not overwritten. Choose another --out, or remove it") from fault


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if not folder.exists():
        raise UsageError(f"There is no bundle at {folder}. Expected a folder with {MANIFEST}. `swinkit export MODEL` makes one")
    if path.is_symlink() or not path.is_file():
        raise WeightsError(
            f"{folder} is no exported bundle: expected a folder with a plain file {MANIFEST}. `swinkit export MODEL` makes one"
        )
    try:
        value = json.loads(path.read_bytes())
        found = value.get("format") if isinstance(value, dict) else None
        if found != FORMAT:
            raise WeightsError(f"{path} is not of format {FORMAT}, but {found!r}. Mend: use the swinkit that wrote it")
        if value.get(DIGEST, digest(value)) != digest(value):  # an earlier version wrote none
            raise WeightsError(
                f"{path} was changed since swinkit wrote it, so that it may not say what the graph answers. Mend: copy the bundle again, or "
                "export the model anew: names, temperature and preprocessing are the model's"
            )
        return Manifest.model_validate(value)
    except ValidationError as fault:
        lines = [f"  {'.'.join(map(str, error['loc']))}: {error['msg']}" for error in fault.errors()]
        raise WeightsError(f"{path} does not describe a bundle:\n" + "\n".join(lines)) from None
    except (OSError, ValueError, RecursionError) as fault:
        raise WeightsError(f"{path} cannot be read: {fault}. Mend: copy the bundle again") from None


def _read_file(path: Path, entry: FileEntry) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise WeightsError(
            f"{path} is not a plain file, but a link, or missing. A bundle's files lie in it. Mend: copy it again"
        )
    if path.stat().st_size != entry.bytes:
        raise WeightsError(f"{path} has {path.stat().st_size:,} bytes, expected {entry.bytes:,}. Mend: copy the bundle again")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != entry.sha256:
        raise WeightsError(f"{path} is damaged: expected SHA-256 {entry.sha256}, got {digest}. Mend: copy the bundle again")
    return content
