"""Where files that were fetched are kept, told without importing anything that may be missing."""

from __future__ import annotations

import os
from pathlib import Path

from ..machine import own_cache


def cache() -> Path:
    """Folder of files that came from URLs."""
    return Path(os.environ.get("SWINKIT_CACHE") or own_cache())


def hub_settings() -> dict[str, str]:
    """Address of the hub and folder of its cache, from the variables that its own tools obey, read now."""
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    return {
        "endpoint": os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/"),
        "cache_dir": os.path.expanduser(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")),
    }
