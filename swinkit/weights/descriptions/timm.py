"""timm's ``config.json``: an architecture of its registry, arguments that differ from it, and how pictures are prepared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...config import SwinConfig
from ...errors import WeightsError
from ...preprocessing import INTERPOLATIONS, Preprocessing
from ...variants import VARIANTS, matching
from . import Told, settled_pretrained

ARGUMENTS = {"img_size": "image_size", "in_chans": "in_channels", "patch_size": "patch_size", "embed_dim": "embed_dim",
             "depths": "depths", "num_heads": "num_heads", "window_size": "window_size", "mlp_ratio": "mlp_ratio",
             "qkv_bias": "qkv_bias", "pretrained_window_sizes": "pretrained_window_sizes"}  # fmt: skip
# what our network cannot be told; anything else would be another function under the same weights
FIXED = {"global_pool": "avg", "act_layer": "gelu", "norm_layer": "layernorm", "always_partition": False}


def architecture_of(variant: str) -> str:
    """timm's name for a variant of ours."""
    if variant.startswith("swinv2"):
        return variant.replace("_patch4", "").removesuffix("_22kto1k_ft")
    return variant


ARCHITECTURES = {architecture_of(name): name for name in VARIANTS if "nano" not in name}


def is_timm(config: Mapping[str, Any]) -> bool:
    return "architecture" in config and "model_type" not in config


def read(config: Mapping[str, Any]) -> Told:
    """What timm's ``config.json`` says; raises :class:`WeightsError` for an architecture that only shares the name Swin."""
    name = str(config["architecture"]).split(".")[0]
    if name not in ARCHITECTURES:
        raise WeightsError(
            f"config.json names timm's {name!r}, which is none of the published Swins: {', '.join(ARCHITECTURES)}"
        )
    prepared = config.get("pretrained_cfg") or {}
    arguments = config.get("model_args") or {}
    for argument, value in FIXED.items():
        if arguments.get(argument) not in (None, "", value):
            raise WeightsError(
                f"config.json has {argument}={arguments[argument]!r}; swinkit computes {value!r}, as all published Swins do"
            )
    given = {ARGUMENTS[key]: value for key, value in arguments.items() if key in ARGUMENTS}
    if given.get("pretrained_window_sizes") is not None and not any(given["pretrained_window_sizes"]):
        given["pretrained_window_sizes"] = ()
    if "image_size" not in given and prepared.get("fixed_input_size") and "input_size" in prepared:
        given["image_size"] = tuple(prepared["input_size"][1:])  # at which timm builds the network
    classes = config.get("label_names") or prepared.get("label_names")
    if isinstance(classes, Mapping):  # number to name
        classes = [classes[number] for number in sorted(classes, key=int)]
    base = VARIANTS[ARCHITECTURES[name]].config
    num_classes = config.get("num_classes", prepared.get("num_classes", base.num_classes))
    settled = SwinConfig.model_validate({**base.model_dump(), **given, "num_classes": num_classes})
    look, notes = read_preprocessing(prepared)
    return Told(settled, tuple(classes) if classes else None, look, notes=notes)


def read_preprocessing(prepared: Mapping[str, Any]) -> tuple[Preprocessing | None, tuple[str, ...]]:
    """``pretrained_cfg`` as ours, and what it says that ours cannot do. timm scales the shorter side to the floor of size / crop_pct."""
    if "input_size" not in prepared:
        return None, ()
    channels, height, width = prepared["input_size"]
    ratio, mode = prepared.get("crop_pct") or 0.875, prepared.get("crop_mode") or "center"
    interpolation = prepared.get("interpolation") or "bicubic"
    notes = []
    if mode not in ("center", "squash") or (mode == "squash" and ratio != 1):
        notes.append(
            f"config.json says crop_mode={mode}, crop_pct={ratio}, which swinkit cannot do: the centre is cut from the scaled picture"
        )
        mode = "center"
    if interpolation not in INTERPOLATIONS:
        notes.append(f"config.json says interpolation={interpolation}, which swinkit cannot do: bicubic is used")
        interpolation = "bicubic"
    described = {
        "size": (height, width), "channels": channels, "interpolation": interpolation,
        "resize": "squash" if mode == "squash" else "shortest",
        "crop_ratio": min(height, width) / math.floor(min(height, width) / ratio),
        "mean": prepared["mean"], "std": prepared["std"],
    }  # fmt: skip
    return Preprocessing.model_validate(described), tuple(notes)


def write(config: SwinConfig, classes: Sequence[str], preprocessing: Preprocessing, variant: str | None) -> dict[str, Any]:
    """``config.json`` with every argument spelt out, so that it holds whatever the registry's defaults are."""
    near = (
        variant or f"swin{'v2' if config.version == 2 else ''}_tiny_patch4_window{'8_256' if config.version == 2 else '7_224'}"
    )
    arguments: dict[str, Any] = {
        "img_size": list(config.image_size), "in_chans": config.in_channels, "patch_size": config.patch_size,
        "embed_dim": config.embed_dim, "depths": list(config.depths), "num_heads": list(config.num_heads),
        "window_size": list(config.window_size), "mlp_ratio": config.mlp_ratio, "qkv_bias": config.qkv_bias,
    }  # fmt: skip
    if config.version == 2:
        arguments["pretrained_window_sizes"] = settled_pretrained(config)
    described = {
        "architecture": architecture_of(near), "num_classes": config.num_classes, "num_features": config.widths[-1],
        "global_pool": "avg", "model_args": arguments, "pretrained_cfg": _prepared(config, preprocessing),
    }  # fmt: skip
    return {**described, **({"label_names": list(classes)} if classes else {})}


def _prepared(config: SwinConfig, preprocessing: Preprocessing) -> dict[str, Any]:
    height, width = preprocessing.size
    return {
        "input_size": [config.in_channels, height, width], "fixed_input_size": True, "num_classes": config.num_classes,
        "interpolation": preprocessing.interpolation, "crop_pct": 1.0 if preprocessing.resize != "shortest" else preprocessing.crop_ratio,
        "crop_mode": "squash" if preprocessing.resize == "squash" else "center", "mean": list(preprocessing.mean),
        "std": list(preprocessing.std), "first_conv": "patch_embed.proj", "classifier": "head.fc",
    }  # fmt: skip


def published(config: SwinConfig) -> str | None:
    """The published variant of the architecture of ``config``, if there is one."""
    return next((name for name in matching(config) if name in ARCHITECTURES.values()), None)
