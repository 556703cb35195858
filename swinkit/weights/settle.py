"""The configuration of the network as it was saved: what its weights say, completed by what the caller tells, never by a guess."""

from __future__ import annotations

from typing import Any

from ..config import SwinConfig, as_side
from ..errors import UsageError, WeightsError
from ..model.windows import Size
from ..variants import VARIANTS, find
from .recognise import Recognised, disagreements


def settle(recognised: Recognised, variant: str | None = None, image_size: Size | None = None) -> SwinConfig:
    """The configuration of the network as it was saved.

    ``variant`` tells what the file does not record; ``image_size`` the size in pixels of an unpublished network. Raises
    :class:`UsageError` asking for what is missing, with the candidates, and :class:`WeightsError` when they contradict the file.
    """
    told = find(variant).config if variant else None
    if told and (lines := disagreements(recognised, told)):
        raise WeightsError(f"The weights are not {variant}:\n" + "\n".join(f"  {line}" for line in lines))
    if told is None:
        told = _published(recognised)
    if told is not None:
        fields = told.model_dump()
    elif not _window_is_recorded(recognised):
        raise UsageError(_question(recognised))
    else:
        fields = {"image_size": _image_size(recognised, image_size), **_window_fields(recognised)}
    geometry = "dense" if recognised.dense else "classification"
    return SwinConfig.model_validate({**fields, **recognised.architecture, "geometry": geometry})


def _window_is_recorded(recognised: Recognised) -> bool:
    return recognised.windows is not None and (recognised.version == 1 or recognised.pretrained_windows is not None)


def _published(recognised: Recognised) -> SwinConfig | None:
    """The one published configuration that fits, if the file leaves no choice that matters."""
    if not _window_is_recorded(recognised):
        return None
    fitting = {VARIANTS[name].config for name in recognised.variants}
    return fitting.pop() if len(fitting) == 1 else None


def _question(recognised: Recognised) -> str:
    if recognised.version == 1:  # of which a table shows a square window, and there is no other published one
        return (
            "The position bias tables of this Swin V1 are of no square window, and the file does not record of which. "
            "Mend: put the config.json beside it that names the window, and open the folder"
        )
    candidates = recognised.variants
    asked = (
        f"The file does not record the window of this Swin V{recognised.version}: its weights are the same for every window. "
    )
    if not candidates:
        return asked + (
            "No published one has this shape. Mend: put the config.json of timm or transformers beside it, which names the window, and open the folder"
        )
    choices = "\n".join(f'  variant="{name}"' for name in candidates)
    return f"{asked}Say which it is:\n{choices}"


def _window_fields(recognised: Recognised) -> dict[str, Any]:
    assert recognised.windows is not None
    fields: dict[str, Any] = {"window_size": recognised.windows[0]}
    if recognised.pretrained_windows and recognised.pretrained_windows != tuple(map(as_side, recognised.windows)):
        fields["pretrained_window_sizes"] = recognised.pretrained_windows
    return fields


def _image_size(recognised: Recognised, told: Size | None) -> Size:
    if recognised.image_size is not None:
        return recognised.image_size
    if told is None:
        raise UsageError(
            f"The file does not record at which picture size this network was trained (windows {recognised.windows}), and it is none "
            "of the published ones. Mend: say so, by --image-size of the same command or, where it has none, of swinkit convert; in Python swinkit.load(…, image_size=…)"
        )
    return told
