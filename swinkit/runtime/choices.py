"""Which engines were fastest on this machine, as ``--engine auto`` found them: a file beside the compiled kernels, read without torch.

A broken or foreign file counts as none, so that engines are measured anew; so they are once it is removed.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import SwinkitError
from ..kernels.cache import cache_folder
from ..weights.atomic import write_json


def place() -> Path:
    """``$XDG_CACHE_HOME/swinkit/engines.json``, by default below ``~/.cache``. Raises RuntimeError where there is no home folder."""
    return cache_folder().parent / "engines.json"


def remembered() -> dict[str, str]:
    """Names of engines by what they were fastest for."""
    try:
        content = json.loads(place().read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError, RuntimeError):
        return {}


def remember(key: str, name: str) -> None:
    try:
        place().parent.mkdir(parents=True, exist_ok=True)
        write_json(place(), {**remembered(), key: name})
    except (OSError, RuntimeError, SwinkitError):  # a cache that cannot be written is no reason to fail
        pass
