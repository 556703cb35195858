"""Names of weights that lie elsewhere, and where their files are once they are here.

    hf-hub:org/name             a model on the Hugging Face hub, of its main revision
    hf-hub:org/name@revision    a branch, tag or commit of it
    https://…/name.pth          one file, such as Microsoft's releases; #sha256=… at its end is checked
    Swin_T_Weights.DEFAULT      weights of torchvision, by the names of its enums

Only such a name opens a connection. ``HF_HUB_OFFLINE`` or ``SWINKIT_OFFLINE`` forbids it, and what was fetched before is used. Files lie in
the hub's own cache (``HF_HOME``, ``HF_HUB_CACHE``), those from URLs in ``SWINKIT_CACHE`` or ``~/.cache/swinkit`` (``XDG_CACHE_HOME``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urldefrag, urlsplit

from ..errors import UsageError, WeightsError
from ..extras import required
from ..preprocessing import Preprocessing
from ..variants import VARIANTS
from .atomic import sha256_of
from .caches import cache, hub_settings
from .download import announce, download, offline, progress_bar, refuse_offline, unreachable

HUB = "hf-hub:"
REPOSITORY = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
DESCRIPTIONS = ("config.json", "preprocessor_config.json", "README.md")
# the first of these that a repository has is fetched, with all its parts
WEIGHTS = (
    ("model.safetensors",), ("model.safetensors.index.json", "model-*-of-*.safetensors"), ("open_clip_pytorch_model.safetensors",),
    ("pytorch_model.bin",), ("*.safetensors",), ("*.pth",),
)  # fmt: skip


@dataclass(frozen=True)
class Located:
    """Where a name's files are, and what the name says beyond them: its variant, its preprocessing."""

    path: Path
    variant: str | None = None
    preprocessing: Preprocessing | None = None

    def __str__(self) -> str:
        return str(self.path)


def is_remote(name: str | Path) -> bool:
    """Whether ``name`` means weights that may have to be fetched, rather than a path or a variant."""
    text = str(name)
    if text.startswith((HUB, "https://", "http://")):
        return True
    return bool(re.fullmatch(r"Swin_(V2_)?[TSB]_Weights\.\w+", text)) and not os.path.exists(text)


def locate(name: str | Path | Located, say: Callable[[str], None] | None = None) -> Located:
    """The local file or folder of ``name``, fetched if need be; a path, and what was located before, is answered as it is.

    ``say`` gets the sentence that announces a download and its size; by default stderr. Raises :class:`UsageError` for what is no
    such name, :class:`WeightsError` when it cannot be had or is not what its hash says, :class:`MissingExtra` for the hub's client.
    """
    if isinstance(name, Located):
        return name
    text = str(name)
    if not is_remote(text):
        return Located(Path(name))
    if text.startswith(HUB):
        return Located(_from_hub(text, say or announce))
    if text.startswith("Swin_"):
        return _from_torchvision(text, say)
    url, fragment = urldefrag(text)
    told = re.fullmatch(r"sha256=([0-9a-fA-F]{8,64})", fragment)
    if fragment and told is None:
        raise UsageError(f"{text} ends in #{fragment}. Expected nothing, or the file's hash, as in #sha256=e3b0c442")
    sha256 = told[1].lower() if told else ""
    stem = Path(urlsplit(url).path).stem
    if not stem:
        raise UsageError(f"{text} names no file. Expected an address like https://…/swin_tiny_patch4_window7_224.pth")
    variants = sorted((variant for variant in VARIANTS if stem.startswith(variant)), key=len)
    return Located(download(url, cache(), sha256, say), variants[-1] if variants else None)


def hub_client() -> ModuleType:
    """The library ``huggingface_hub``, with its reports of usage switched off; raises :class:`MissingExtra`."""
    for name in ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_UPDATE_CHECK"):
        os.environ.setdefault(name, "1")
    required("huggingface_hub.errors", "hub")  # which the client does not import by itself
    return required("huggingface_hub", "hub")  # type: ignore[no-any-return]


def _from_hub(name: str, say: Callable[[str], None]) -> Path:
    repository, _, revision = name.removeprefix(HUB).partition("@")
    if not REPOSITORY.fullmatch(repository) or ".." in revision:
        raise UsageError(f"{name} is no name on the hub. Expected {HUB}org/name or {HUB}org/name@revision")
    settings = hub_settings()
    kept = _cached(repository, revision or "main", settings["cache_dir"])
    if offline():
        return kept or refuse_offline(name)
    client = hub_client()
    try:
        info = client.HfApi(endpoint=settings["endpoint"]).model_info(
            repository, revision=revision or None, files_metadata=True
        )
        files = _choose(name, info.siblings or [])
        _announce_new(client, name, repository, info.sha, files, settings["cache_dir"], say)
        paths = [_fetch(client, repository, info.sha, file, settings) for file in files]
        if revision != info.sha:
            _remember(Path(paths[0]).parents[2 + files[0].rfilename.count("/")], revision or "main", info.sha)
    except (client.errors.HfHubHTTPError, OSError, ValueError) as fault:
        raise WeightsError(_explain(client, name, fault)) from None
    except Exception as fault:
        if "httpx" not in type(fault).__module__:  # the client's own transport, whose faults have no public base class here
            raise
        if kept is None:
            raise WeightsError(unreachable(name, fault)) from None
        say(f"The hub cannot be reached; {name} is taken from the cache, as it was when it was fetched ({kept.name[:12]})")
        return kept
    return Path(paths[0]).parent


def _fetch(client: ModuleType, repository: str, commit: str, file: Any, settings: dict[str, str]) -> str:
    path = client.hf_hub_download(repository, file.rfilename, revision=commit, tqdm_class=_Bar, **settings)
    expected = file.lfs.sha256 if file.lfs else None
    if expected and sha256_of(path) != expected:
        raise WeightsError(
            f"{path} is damaged: the hub gives SHA-256 {expected} for it. Mend: delete {os.path.realpath(path)} and load again"
        )
    return str(path)


def _cached(repository: str, revision: str, cache_dir: str) -> Path | None:
    """The folder of ``revision`` in the cache, if its weights are there."""
    root = Path(cache_dir) / f"models--{repository.replace('/', '--')}"
    noted = root / "refs" / revision
    folder = root / "snapshots" / (noted.read_text(encoding="utf-8").strip() if noted.is_file() else revision)
    if not folder.is_dir():
        return None
    return folder if any(fnmatch(path.name, kind[0]) for path in folder.iterdir() for kind in WEIGHTS) else None


def _remember(root: Path, revision: str, commit: str) -> None:
    """Note which commit ``revision`` meant, as the hub's own tools do, for a later time without a network."""
    noted = root / "refs" / revision
    noted.parent.mkdir(parents=True, exist_ok=True)
    noted.write_text(commit, encoding="utf-8")


def _choose(name: str, siblings: list[Any]) -> list[Any]:
    top = [file for file in siblings if "/" not in file.rfilename]
    for patterns in WEIGHTS:
        whole = [file.rfilename for file in top if fnmatch(file.rfilename, patterns[0])]
        if len(whole) > 1:
            raise WeightsError(
                f"{name} holds several files of weights: {', '.join(whole[:8])}. Mend: give the address of one of them"
            )
        if whole:
            wanted = (*patterns, *DESCRIPTIONS)
            return [file for file in top if any(fnmatch(file.rfilename, pattern) for pattern in wanted)]
    some = ", ".join(file.rfilename for file in siblings[:8]) or "nothing"
    raise WeightsError(f"{name} holds no weights that swinkit reads; it has {some}")


def _announce_new(
    client: ModuleType, name: str, repository: str, commit: str, files: list[Any], cache_dir: str, say: Callable[[str], None]
) -> None:
    new = [
        file for file in files
        if not isinstance(client.try_to_load_from_cache(repository, file.rfilename, cache_dir=cache_dir, revision=commit), str)
    ]  # fmt: skip
    if new:
        say(f"Fetching {name}: {len(new)} files, {sum(file.size or 0 for file in new) / 1e6:,.1f} MB, into {cache_dir}")


def _explain(client: ModuleType, name: str, fault: Exception) -> str:
    errors = client.errors
    if isinstance(fault, errors.GatedRepoError):
        return f"{name} is only given to those who accepted its terms. Mend: accept them on its page, then run `hf auth login`"
    if isinstance(fault, errors.RepositoryNotFoundError):
        return f"There is no {name}, or it is private. Mend: check the name; for a private one run `hf auth login`"
    if isinstance(fault, errors.RevisionNotFoundError):
        return f"{name} has no such revision. Mend: leave out what stands behind @, or name a branch, tag or commit of it"
    if isinstance(fault, errors.HfHubHTTPError):
        status = getattr(getattr(fault, "response", None), "status_code", "no answer")
        return f"{name} cannot be had: the hub answers {status}. Mend: try again later"
    return unreachable(name, fault)


def _from_torchvision(name: str, say: Callable[[str], None] | None) -> Located:
    from torchvision.models import get_weight

    try:
        weight: Any = get_weight(name)
    except (ValueError, AttributeError, KeyError) as fault:
        raise UsageError(
            f"torchvision has no weights {name}: {fault}. Expected a name like Swin_T_Weights.IMAGENET1K_V1"
        ) from None
    expected = Path(urlsplit(weight.url).path).stem.rpartition("-")[2]  # torch's convention: the hash begins so
    applied = weight.transforms()
    crop, resize = applied.crop_size[0], applied.resize_size[0]
    preprocessing = Preprocessing(
        size=(crop, crop), crop_ratio=crop / resize, interpolation=applied.interpolation.value,
        mean=tuple(applied.mean), std=tuple(applied.std),
    )  # fmt: skip
    kind, size = name.partition("_Weights")[0].rpartition("_")[::2]
    variant = f"{'swinv2' if kind.endswith('V2') else 'swin'}_{size.lower()}"
    return Located(download(weight.url, cache(), expected, say), variant, preprocessing)


class _Bar:
    """What the hub's client takes for tqdm, drawn by rich."""

    def __init__(self, *_: Any, total: float | None = None, initial: float = 0, desc: str = "", **__: Any) -> None:
        self._progress = progress_bar()
        self._progress.start()
        self._task = self._progress.add_task(desc, total=total, completed=int(initial))

    def update(self, count: float | None = 1) -> None:
        self._progress.update(self._task, advance=count or 0)

    def close(self) -> None:
        self._progress.stop()

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
