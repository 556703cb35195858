"""What ``swinkit convert`` writes: for each format, which files, and in which library they can be tried out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from .. import __version__
from ..errors import UsageError, WeightsError, nearest
from .atomic import sha256_of, write_json
from .descriptions import builders, timm, transformers
from .descriptions.beside import Beside
from .files import DESCRIPTION, FORMAT, WEIGHTS, Description, WeightsEntry
from .formats import ALIASES, DIALECTS
from .formats.table import Dialect
from .saved import Saved, is_pretrained, lasting
from .streams import write_pth, write_safetensors
from .translation import export

Written = list[Path]  # the weights first
Write = Callable[[Saved, Mapping[str, Tensor], Path], Written]


@dataclass(frozen=True)
class Target:
    """A format that is written: into a folder, or as one file with its description beside it.

    ``write`` gets the model, its tensors under the target's names, and the path of the folder or file. ``library`` is the
    package that computes such a network; without one, or where it is not installed, swinkit reads the files back itself.
    """

    name: str
    title: str
    write: Write
    folder: bool
    library: str | None = None
    dialect: Dialect | None = None

    def state_of(self, saved: Saved) -> dict[str, Tensor]:
        """Tensors of ``saved`` under the target's names; raises :class:`WeightsError` with everything it cannot express."""
        if "norm.weight" not in saved.state and self.name != "transformers-backbone":
            raise WeightsError(f"{self.title} has a norm behind the last stage, which these weights lack")
        if self.dialect is None:
            return _ours(saved)
        if "reconstruction.mask_token" not in saved.state or self.dialect.name not in ("microsoft", "simmim"):
            return export(saved.state, saved.config, self.dialect)
        # as SimMIM saves what it pre-trained: below encoder., version 2 with its own name of the bias network
        dialect = DIALECTS["simmim"] if saved.config.version == 2 else self.dialect
        return export(saved.state, saved.config, dialect, "encoder.")


def takers(saved: Saved) -> tuple[str, ...]:
    """Names of the targets that can express ``saved``, asked of its shapes alone."""
    shapes = replace(saved, state={name: tensor.to("meta") for name, tensor in saved.state.items()})
    return tuple(name for name, target in TARGETS.items() if _takes(target, shapes))


def _takes(target: Target, saved: Saved) -> bool:
    try:
        target.state_of(saved)
    except WeightsError:
        return False
    return True


def find_target(name: str) -> Target:
    """The target called ``name`` or aliased so; raises :class:`UsageError` with the known ones."""
    target = TARGETS.get(ALIASES.get(name, name))
    if target is None:
        hint = nearest(name, [*TARGETS, *ALIASES], f"Known: {', '.join(TARGETS)}; also {', '.join(ALIASES)}.")
        raise UsageError(f"There is no format {name!r} to convert to. {hint}")
    return target


def _ours(saved: Saved) -> dict[str, Tensor]:
    left = [name for name in saved.state if name.startswith(("output_norms.", "reconstruction."))]
    if left:
        raise WeightsError(
            f"swinkit's own format holds classifiers and their backbones; it has no place for {len(left)} tensors ({left[0]}, …). "
            "Mend: --backbone leaves them out"
        )
    return dict(saved.state)


def _own_folder(saved: Saved, state: Mapping[str, Tensor], folder: Path) -> Written:
    weights = folder / WEIGHTS
    write_safetensors(weights, state)
    entry = WeightsEntry(bytes=weights.stat().st_size, sha256=sha256_of(weights))
    described = Description(
        format=FORMAT, swinkit=__version__, task="classification", swin=saved.config, classes=saved.classes,
        multi_label=saved.multi_label, preprocessing=saved.preprocessing, weights=entry, **lasting(saved.metadata),
    )  # fmt: skip
    write_json(folder / DESCRIPTION, described.model_dump(mode="json", exclude_none=True))
    return [weights, folder / DESCRIPTION]


def _timm_folder(saved: Saved, state: Mapping[str, Tensor], folder: Path) -> Written:
    described = timm.write(saved.config, saved.classes, saved.preprocessing, timm.published(saved.config))
    write_safetensors(folder / WEIGHTS, state)
    write_json(folder / DESCRIPTION, described)
    return [folder / WEIGHTS, folder / DESCRIPTION]


def _transformers_folder(saved: Saved, state: Mapping[str, Tensor], folder: Path) -> Written:
    painting = "reconstruction.mask_token" in saved.state
    described = transformers.write(saved.config, saved.classes, multi_label=saved.multi_label, painting=painting)
    return _hugging_face(saved, state, folder, described)


def _backbone_folder(saved: Saved, state: Mapping[str, Tensor], folder: Path) -> Written:
    stages = range(saved.config.num_stages)
    normed = [stage for stage in stages if f"output_norms.{stage}.weight" in saved.state]
    normed += [stages[-1]] if "norm.weight" in saved.state else []
    return _hugging_face(saved, state, folder, transformers.write(saved.config, backbone=normed or list(stages)))


def _hugging_face(saved: Saved, state: Mapping[str, Tensor], folder: Path, described: dict[str, Any]) -> Written:
    write_safetensors(folder / WEIGHTS, state)
    write_json(folder / DESCRIPTION, described)
    write_json(folder / transformers.PREPROCESSOR, transformers.write_preprocessor(saved.preprocessing))
    return [folder / WEIGHTS, folder / DESCRIPTION, folder / transformers.PREPROCESSOR]


def _file(key: str | None, build: Callable[[Saved], dict[str, Any]], format: str) -> Write:
    """Writes one ``.pth`` with the state under ``key``, and beside it what it leaves unsaid."""

    def write(saved: Saved, state: Mapping[str, Tensor], path: Path) -> Written:
        write_pth(path, state, key=key)
        described = Beside(
            format=format, sha256=sha256_of(path), swin=saved.config, classes=saved.classes, multi_label=saved.multi_label,
            preprocessing=saved.preprocessing, builder=build(saved), masking=saved.masking if is_pretrained(saved) else None,
        )  # fmt: skip
        write_json(path.with_suffix(".json"), described.model_dump(mode="json", exclude_none=True))
        return [path, path.with_suffix(".json")]

    return write


def _no_builder(saved: Saved) -> dict[str, Any]:
    return {}


def _of(name: str, write: Write, *, folder: bool, library: str | None = None) -> Target:
    return Target(name, DIALECTS[name].title, write, folder, library, DIALECTS[name])


TARGETS = {
    target.name: target
    for target in (
        Target("swinkit", "swinkit", _own_folder, folder=True),
        _of("timm", _timm_folder, folder=True, library="timm"),
        _of("transformers", _transformers_folder, folder=True, library="transformers"),
        _of("transformers-5", _transformers_folder, folder=True, library="transformers"),
        _of("transformers-backbone", _backbone_folder, folder=True, library="transformers"),
        _of("torchvision", _file(None, lambda saved: builders.torchvision(saved.config), "torchvision"), folder=False, library="torchvision"),
        _of("microsoft", _file("model", _no_builder, "microsoft"), folder=False),
        _of("simmim", _file("model", _no_builder, "simmim"), folder=False),
        _of("microsoft-dense", _file("state_dict", _no_builder, "microsoft-dense"), folder=False),
        _of("openmmlab", _file("state_dict", lambda saved: builders.openmmlab(saved.config), "openmmlab"), folder=False),
    )
}  # fmt: skip


def hashes(files: Written) -> dict[str, str]:
    """SHA-256 of each file, by name."""
    return {path.name: sha256_of(path) for path in files}
