"""``config.json`` and ``preprocessor_config.json`` of Hugging Face transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...config import SwinConfig
from ...errors import WeightsError
from ...preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from . import Told, settled_pretrained

PREPROCESSOR = "preprocessor_config.json"
VERSIONS = {"swin": 1, "swinv2": 2}
RESAMPLING = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers
SEVERAL = "multi_label_classification"
# what our network cannot be told; anything else would be another function under the same weights
FIXED = {"hidden_act": "gelu", "layer_norm_eps": 1e-5}


def read(config: Mapping[str, Any], preprocessor: Mapping[str, Any] | None = None) -> Told:
    """What the two files say; a composite such as UPerNet is asked for its backbone.

    Raises :class:`WeightsError` for another architecture, and for options under which our network would answer otherwise.
    """
    inner = config if config.get("model_type") in VERSIONS else config.get("backbone_config") or {}
    if inner.get("model_type") not in VERSIONS:
        raise WeightsError(
            f"config.json describes a {config.get('model_type')!r}; expected swin or swinv2, or a model built on one"
        )
    for name, value in FIXED.items():
        if inner.get(name, value) != value:
            raise WeightsError(f"config.json has {name}={inner[name]!r}; swinkit computes {value!r}, as all published Swins do")
    labels = config.get("id2label")
    classes = tuple(labels[key] for key in sorted(labels, key=int)) if isinstance(labels, Mapping) else None
    prepared, notes = read_preprocessor(preprocessor) if preprocessor else (None, ())
    return Told(_config(inner, len(classes or ())), classes, prepared, config.get("problem_type") == SEVERAL, notes)


def _config(inner: Mapping[str, Any], num_classes: int) -> SwinConfig:
    version = VERSIONS[inner["model_type"]]
    names = {"image_size": 224, "patch_size": 4, "embed_dim": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24),
             "window_size": 7, "mlp_ratio": 4.0, "qkv_bias": True}  # fmt: skip
    fields = {name: inner.get(name, default) for name, default in names.items()}
    patch = fields["patch_size"]
    fields["patch_size"] = patch if isinstance(patch, int) else patch[0]
    pretrained = inner.get("pretrained_window_sizes") or ()
    if any(pretrained):
        fields["pretrained_window_sizes"] = pretrained
    return SwinConfig.model_validate(
        {
            **fields, "version": version, "in_channels": inner.get("num_channels", 3), "num_classes": num_classes,
            "ape": inner.get("use_absolute_embeddings", False), "drop_path_rate": inner.get("drop_path_rate", 0.1),
        }
    )  # fmt: skip


def read_preprocessor(values: Mapping[str, Any]) -> tuple[Preprocessing, tuple[str, ...]]:
    """``preprocessor_config.json`` as ours, and what it says that ours cannot do, with what is done instead."""
    mean, std = values.get("image_mean") or IMAGENET_MEAN, values.get("image_std") or IMAGENET_STD
    if not values.get("do_normalize", True):
        mean, std = [0.0] * len(mean), [1.0] * len(std)
    largest = 255 * (values.get("rescale_factor", 1 / 255) if values.get("do_rescale", True) else 1)  # ours is 1
    resample = values.get("resample", 2)
    fields, notes = _resizing(values)
    if resample not in RESAMPLING:
        notes.append(f"resample={resample}, which swinkit cannot do: bicubic is used")
    described = {
        **fields, "interpolation": RESAMPLING.get(resample, "bicubic"), "channels": len(mean),
        "mean": [value / largest for value in mean], "std": [value / largest for value in std],
    }  # fmt: skip
    return Preprocessing.model_validate(described), tuple(f"{PREPROCESSOR} says {note}" for note in notes)


def _resizing(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """``size``, ``resize`` and ``crop_ratio`` of ours, and notes as in :func:`read_preprocessor`."""
    size, crop = _sides(values.get("size", 224)), _sides(values.get("crop_size", 224))
    scaled, cropped = bool(values.get("do_resize", True)), bool(values.get("do_center_crop"))
    if not scaled and not cropped:
        return {"size": size if len(size) == 2 else (*size, *size) or (224, 224), "resize": "none"}, []
    if scaled and len(size) == 2 and (not cropped or crop == size):
        return {"size": size, "resize": "squash"}, []
    if scaled and len(size) == 1 and cropped and len(crop) == 2 and crop[0] == crop[1] <= size[0]:
        return {
            "size": crop,
            "resize": "shortest",
            "crop_ratio": crop[0] / size[0],
        }, []  # theirs scales by the shorter side alone
    said = ", ".join(
        f"{name}={values[name]}" for name in ("do_resize", "size", "do_center_crop", "crop_size") if name in values
    )
    seen = crop if cropped and len(crop) == 2 else size if len(size) == 2 else (*size, *size) or (224, 224)
    ratio = min(1.0, min(seen) / min(size)) if size else 1.0
    note = f"{said}, which swinkit cannot do: the shorter side is scaled and {seen[0]}x{seen[1]} pixels are cut from the centre"
    return {"size": seen, "resize": "shortest", "crop_ratio": ratio}, [note]


def _sides(size: Any) -> tuple[int, ...]:
    """(height, width), or one shortest edge, or nothing where it is told in another way."""
    if isinstance(size, Mapping):
        told = next((keys for keys in (("shortest_edge",), ("height", "width")) if all(key in size for key in keys)), ())
        return tuple(size[key] for key in told)
    return (size, size) if isinstance(size, int) else tuple(size)


def write(
    config: SwinConfig,
    classes: Sequence[str] = (),
    *,
    multi_label: bool = False,
    backbone: Sequence[int] = (),
    painting: bool = False,
) -> dict[str, Any]:
    """``config.json`` for a classifier, for a backbone that gives out the stages ``backbone``, each behind a norm, or for what SimMIM
    pre-trained, ``painting``."""
    family = "Swin" if config.version == 1 else "Swinv2"
    headless = "ForMaskedImageModeling" if painting else "Model"
    kind = "Backbone" if backbone else "ForImageClassification" if config.num_classes else headless
    described = {
        "architectures": [family + kind], "model_type": family.lower(), "image_size": _square(config.image_size), "patch_size": config.patch_size, "num_channels": config.in_channels,
        "embed_dim": config.embed_dim, "depths": list(config.depths), "num_heads": list(config.num_heads),
        "window_size": config.window_size[0], "mlp_ratio": config.mlp_ratio, "qkv_bias": config.qkv_bias, **FIXED,
        "use_absolute_embeddings": config.ape, "drop_path_rate": config.drop_path_rate, "encoder_stride": config.strides[-1],
        "hidden_size": config.widths[-1], "num_layers": config.num_stages,
    }  # fmt: skip
    if config.version == 2:
        described["pretrained_window_sizes"] = settled_pretrained(config)
    if backbone:
        described["out_features"] = [f"stage{stage + 1}" for stage in backbone]
    elif config.num_classes:
        names = list(classes) or [f"LABEL_{index}" for index in range(config.num_classes)]
        described["id2label"] = {str(index): name for index, name in enumerate(names)}
        described["label2id"] = {name: index for index, name in enumerate(names)}
        if multi_label:
            described["problem_type"] = SEVERAL
    return described


def _square(size: tuple[int, int]) -> int | list[int]:
    return size[0] if size[0] == size[1] else list(size)


def write_preprocessor(preprocessing: Preprocessing) -> dict[str, Any]:
    """``preprocessor_config.json``: a ViT processor squashes, a BiT processor scales the shorter side and crops."""
    number = next(number for number, name in RESAMPLING.items() if name == preprocessing.interpolation)
    height, width = preprocessing.size
    common = {
        "do_resize": preprocessing.resize != "none", "resample": number, "do_rescale": True, "rescale_factor": 1 / 255,
        "do_normalize": True, "image_mean": list(preprocessing.mean), "image_std": list(preprocessing.std),
    }  # fmt: skip
    if preprocessing.resize == "shortest":
        # of a square picture, what ours is; it never pads
        edge = {"shortest_edge": round(max(height, width) / preprocessing.crop_ratio)}
        crop = {"do_center_crop": True, "crop_size": {"height": height, "width": width}}
        return {"image_processor_type": "BitImageProcessor", "size": edge, **crop, **common}
    return {"image_processor_type": "ViTImageProcessor", "size": {"height": height, "width": width}, **common}
