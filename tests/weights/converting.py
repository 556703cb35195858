"""Conversions as ``swinkit convert`` makes them, of whatever is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swinkit.runtime.converting import Changes, make_plan, picture_batch
from swinkit.weights import conversion
from swinkit.weights.targets import find_target


def convert(source: str | Path, out: Path, format: str, **changes: Any) -> conversion.Conversion:
    plan = make_plan(str(source), find_target(format), Changes(**changes))
    return conversion.convert(plan, out, picture_batch(plan), ("one", "two", "three"))
