"""What the name of a model means, told from the name and a look at the disk: a variant, a model that is here, or one that lies elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from ..variants import ALIASES, VARIANTS, near_variants
from . import DESCRIPTION, WEIGHTS
from .hub import is_remote

BUNDLED = Path(__file__).parent.parent / "assets" / "models"  # models that come with the package, known by folder name


def bundled_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(folder.name for folder in BUNDLED.glob("*"))


def is_variant(name: str, also: Sequence[str] = ()) -> bool:
    """Whether ``name`` is of a variant, which has no weights yet, rather than of a model.

    Raises :class:`UsageError` for what is neither, with the near names; ``also`` are others that the caller knows.
    """
    if name in VARIANTS or name in ALIASES:
        return True
    if is_remote(name) or Path(name).exists() or name in bundled_models():
        return False
    raise UsageError(f"There is no model or variant {name!r}. {near_variants(name, [*bundled_models(), *also])}")


def check_saved(name: str) -> None:
    """Raises :class:`UsageError` where ``name`` means no trained model; what lies elsewhere is not asked for."""
    if not is_remote(name):
        find_place(name)


def find_place(path: str | Path) -> Path:
    """The file or folder that is meant by ``path``, which may be a bundled model's name; raises :class:`UsageError` for nothing there."""
    path = Path(path)
    if path.exists():
        return path
    if str(path) in bundled_models():
        return BUNDLED / path
    variant = f" {path} is a variant, which training gives its weights." if str(path) in {**VARIANTS, **ALIASES} else ""
    raise UsageError(
        f"There is no model at {path}.{variant} Expected a run, a folder with {DESCRIPTION}, a file {WEIGHTS}, or one that comes "
        f"with swinkit: {', '.join(bundled_models())}"
    )
