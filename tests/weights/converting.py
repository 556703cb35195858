"""Conversions as ``swinkit convert`` makes them, of whatever is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swinkit.cli.convert import make_plan, picture_batch
from swinkit.weights import conversion
from swinkit.weights.targets import find_target

NOTHING: dict[str, Any] = dict.fromkeys(
    ("variant", "image_size", "window_size", "resize", "geometry", "head_map", "head_classes", "class_names")
) | {"backbone": False}


def convert(source: str | Path, out: Path, format: str, **wishes: Any) -> conversion.Conversion:
    plan = make_plan(str(source), find_target(format), **{**NOTHING, **wishes})
    return conversion.convert(plan, out, picture_batch(plan), ("one", "two", "three"))
